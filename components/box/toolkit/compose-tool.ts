import type { SchemaManifest } from "../../rollout/manifest.ts";
import { buildDirectory } from "./builds.ts";
import { prepareCompose, runInImage } from "./compose.ts";
import { isComposed } from "./compose-file.ts";
import type { Host } from "./host.ts";
import { type ReleaseRecord, readSecrets } from "./records.ts";
import { redactor } from "./redact.ts";
import { run } from "./run.ts";
import { environmentOf } from "./units.ts";

const toolSeconds = 1800;

/**
 * Runs a release's migration tool (POD-3) with the environment of its service: in a container of the service's image,
 * or in the build's folder where the service is a process.
 */
export async function runTool(
  host: Host,
  release: ReleaseRecord,
  { service: name, command }: NonNullable<SchemaManifest["tool"]>,
): Promise<string> {
  const service = release.manifest.services.find((one) => one.name === name);
  if (!service)
    throw new Error(`schema.tool runs in the service ${name}, which ${release.manifest.release} lacks`);
  if (isComposed(service)) {
    await prepareCompose(host, release);
    return runInImage(host, release, service, command, toolSeconds);
  }
  const secrets = await readSecrets(host, release);
  const words = host.buildUser ? ["runuser", "-u", host.buildUser, "--", ...command] : command;
  const { code, stdout, stderr } = await run(words, {
    cwd: buildDirectory(host, release.manifest),
    env: environmentOf(host, release, service, secrets),
    seconds: toolSeconds,
  });
  const printed = redactor(Object.values(secrets))(
    `${stdout}\n${stderr}`.trim().split("\n").slice(-15).join("\n"),
  );
  if (code === 0) return printed;
  throw new Error(`\`${command.join(" ")}\` exited ${code}:\n${printed}`);
}
