import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { createRepository } from "../../../examples/service/repository.ts";
import type { Box } from "../box/box.ts";
import { must } from "../box/must.ts";
import { until } from "../box/processes.ts";
import { type Call, callsFile, daemonSocket, imagesFolder } from "./orders.ts";

export interface ImageOptions {
  /** Tag of the example service. */
  readonly version: string;
  /** SQL of the migrations in the image, by name. */
  readonly migrations?: Readonly<Record<string, string>>;
}

/** Puts the stand-in engine on a box: `docker` on PATH, its daemon, its group. */
export async function installEngine(box: Box): Promise<void> {
  const [client, daemon] = await Promise.all(["engine.ts", "daemon.ts"].map(bundled));
  const put = (path: string, text: string, mode: string) =>
    must(box, `mkdir -p "$(dirname ${path})" && cat >${path} && chmod ${mode} ${path}`, text);
  await put("/usr/local/lib/stand-in/docker.cjs", client ?? "", "644");
  await put("/usr/local/lib/stand-in/daemon.cjs", daemon ?? "", "644");
  await put("/usr/local/bin/docker", '#!/bin/sh\nexec node /usr/local/lib/stand-in/docker.cjs "$@"\n', "755");
  await must(box, "groupadd --force --system docker");
  await put(
    "/etc/systemd/system/docker.service",
    "[Service]\nExecStart=node /usr/local/lib/stand-in/daemon.cjs\nRestart=always\n[Install]\nWantedBy=multi-user.target\n",
    "644",
  );
  await must(box, "systemctl daemon-reload && systemctl enable --quiet --now docker.service");
  await until(
    async () => (await box.ssh(`test -S ${daemonSocket}`)).code === 0,
    10,
    "the stand-in's daemon does not listen",
    100,
  );
}

/** Puts an image where the stand-in pulls it from. @returns its reference, by digest */
export async function putImage(box: Box, { version, migrations = {} }: ImageOptions): Promise<string> {
  const scratch = mkdtempSync(join(tmpdir(), "switchyard-image-"));
  try {
    await createRepository(join(scratch, "example.git"));
    const git = ["--git-dir", join(scratch, "example.git"), "-c", "safe.directory=*"];
    const tree = join(scratch, "tree");
    for (const folder of ["dist", "bin", "prisma"]) mkdirSync(join(tree, folder), { recursive: true });
    for (const file of ["service.mjs", "release.json"]) {
      const text = execFileSync("git", [...git, "show", `${version}:${file}`], { maxBuffer: 1 << 26 });
      writeFileSync(join(tree, "dist", file), text);
    }
    writeFileSync(join(tree, "guard.cjs"), readFileSync(join(import.meta.dirname, "guard.cjs")));
    writeFileSync(join(tree, "bin/npx"), readFileSync(join(import.meta.dirname, "npx.sh")), { mode: 0o755 });
    for (const [name, sql] of Object.entries(migrations))
      writeFileSync(join(tree, `prisma/${name}.sql`), sql);
    const cmd = ["node", "--require", "./guard.cjs", "dist/service.mjs"];
    writeFileSync(join(tree, "image.json"), JSON.stringify({ cmd }));
    const digest = createHash("sha256")
      .update(JSON.stringify([version, migrations]))
      .digest("hex");
    const archive = execFileSync("tar", ["-czf", "-", "-C", tree, "."], { maxBuffer: 1 << 26 });
    const folder = `${imagesFolder}/${digest}`;
    const { code, stderr } = await box.ssh(`mkdir -p ${folder} && tar -xzf - -C ${folder} --no-same-owner`, {
      stdin: archive,
    });
    if (code !== 0) throw new Error(`${folder}: ${stderr}`);
    return `ghcr.io/pod-protocol/pod-api@sha256:${digest}`;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Containers that the stand-in has, each with whether it runs. */
export async function containers(box: Box): Promise<string[]> {
  const ask = [
    `const socket = require("net").connect("${daemonSocket}");`,
    `socket.write('{"caller":null,"order":{"what":"list"}}\\n');`,
    `require("readline").createInterface({ input: socket }).on("line", (line) => {`,
    `  const { out, exit } = JSON.parse(line);`,
    `  if (out !== undefined) process.stdout.write(out);`,
    `  if (exit !== undefined) socket.destroy();`,
    `});`,
  ].join("\n");
  const { code, stdout, stderr } = await box.ssh("node -", { stdin: ask });
  if (code !== 0) throw new Error(`the stand-in engine did not say what it has: ${stderr}`);
  return stdout.trim().split("\n").filter(Boolean);
}

/** Calls of the client since the last time, as the words after `docker compose -p … -f …`. */
export async function takeCalls(box: Box): Promise<Call["caller"][]> {
  const { stdout } = await box.ssh(`cat ${callsFile}; : >${callsFile}`);
  return stdout
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

async function bundled(file: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, file)],
    bundle: true,
    platform: "node",
    target: "node18",
    format: "cjs",
    write: false,
    logLevel: "silent",
  });
  return outputFiles[0]?.text ?? "";
}
