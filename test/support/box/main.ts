import { spawnSync } from "node:child_process";
import { findBox, startBox } from "./box.ts";
import { boxes, removeBox } from "./records.ts";

/** A test box for a person: `node test/support/box/main.ts up|ssh|down`. */

const usage = `usage: node test/support/box/main.ts up [--empty] [name]     bring a box up (default name: box)
       node test/support/box/main.ts ssh [name] [-- command]  log in, or run a command
       node test/support/box/main.ts down [name]             end it`;

const [verb, ...words] = process.argv.slice(2);
const dashes = words.indexOf("--");
const command = dashes === -1 ? [] : words.slice(dashes + 1);
const options = dashes === -1 ? words : words.slice(0, dashes);
const name = options.find((word) => !word.startsWith("--")) ?? "box";

try {
  if (verb === "up") await up();
  else if (verb === "ssh") ssh();
  else if (verb === "down") await down();
  else {
    console.error(usage);
    process.exitCode = 2;
  }
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

async function up(): Promise<void> {
  const base = options.includes("--empty") ? "empty" : "full";
  const started = performance.now();
  const box = await startBox({ base, name, keep: true });
  console.log(`box ${name} is up after ${((performance.now() - started) / 1000).toFixed(1)} s
  log in          node test/support/box/main.ts ssh ${name}
  its network     ${box.enter.join(" ")} curl http://${box.address}/
  agent           export SSH_AUTH_SOCK=${box.agentSocket}
  host key        ${box.hostKey}
  end it          node test/support/box/main.ts down ${name}`);
}

function ssh(): void {
  const box = findBox(name);
  if (!box)
    throw new Error(`no box named ${name} is up; bring it up with: node test/support/box/main.ts up ${name}`);
  const [program = "ssh", ...rest] = box.sshCommand;
  const ended = spawnSync(program, [...rest, ...command], { stdio: "inherit" });
  process.exitCode = ended.status ?? 1;
}

async function down(): Promise<void> {
  if (!boxes.names().includes(name)) throw new Error(`no box named ${name} is up`);
  await removeBox(name);
}
