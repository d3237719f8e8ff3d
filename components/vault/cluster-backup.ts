import { mkdir, readFile } from "node:fs/promises";
import { backUp } from "../box/toolkit/vault-dump.ts";
import { type VaultSettings, vaultFolder, writeSettings } from "../box/toolkit/vault-settings.ts";

/**
 * The backup of a system on a cluster: the same one as on a box, run once by a Job. Settings come by a file that is a
 * Secret; what a run keeps beside them is gone with its pod.
 */
async function main([settingsFile = "", workFolder = ""]: string[]): Promise<string> {
  const settings = JSON.parse(await readFile(settingsFile, "utf8")) as VaultSettings;
  const folder = vaultFolder(workFolder, settings.system);
  await mkdir(folder.path, { recursive: true, mode: 0o700 });
  await writeSettings(folder, settings);
  const { id, repository, rows, bytes } = await backUp(folder, settings, { reason: "timer" });
  return JSON.stringify({ id, repository, rows, bytes });
}

main(process.argv.slice(2)).then(
  (line) => process.stdout.write(`${line}\n`, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.message}\n`, () => process.exit(1)),
);
