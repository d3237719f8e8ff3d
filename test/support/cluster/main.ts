import { spawnSync } from "node:child_process";
import { findCluster, startCluster } from "./cluster.ts";
import { clusters, removeCluster } from "./records.ts";

/** A test cluster by hand, kept until it is ended. */

const usage = `usage: node test/support/cluster/main.ts up [name]
       node test/support/cluster/main.ts kubectl [name] -- <words>
       node test/support/cluster/main.ts inside [name] -- <command>
       node test/support/cluster/main.ts down [name]`;

const [verb = "", ...words] = process.argv.slice(2);
const dashes = words.indexOf("--");
const command = dashes === -1 ? [] : words.slice(dashes + 1);
const name = (dashes === -1 ? words : words.slice(0, dashes))[0] ?? "cluster";

try {
  if (verb === "up") await up();
  else if (verb === "kubectl") await kubectl();
  else if (verb === "inside") await inside();
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
  const started = performance.now();
  const cluster = await startCluster({ name, keep: true });
  console.log(`cluster ${name} is up after ${((performance.now() - started) / 1000).toFixed(1)} s
  kubectl         node test/support/cluster/main.ts kubectl ${name} -- get pods -A
  kubeconfig      export KUBECONFIG=${cluster.kubeconfig}
  its network     ${cluster.enter.join(" ")} curl http://<pod or Service>/
  node image      ${cluster.nodeImage.reference}
  end it          node test/support/cluster/main.ts down ${name}`);
}

async function found() {
  const cluster = await findCluster(name);
  if (cluster) return cluster;
  throw new Error(
    `no cluster named ${name} is up; bring it up with: node test/support/cluster/main.ts up ${name}`,
  );
}

async function kubectl(): Promise<void> {
  const cluster = await found();
  const ended = spawnSync(cluster.kubectlProgram, [`--kubeconfig=${cluster.kubeconfig}`, ...command], {
    stdio: "inherit",
  });
  process.exitCode = ended.status ?? 1;
}

async function inside(): Promise<void> {
  const { code, stdout, stderr } = await (await found()).inside(command);
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exitCode = code;
}

async function down(): Promise<void> {
  if (!clusters.names().includes(name)) throw new Error(`no cluster named ${name} is up`);
  await removeCluster(name);
}
