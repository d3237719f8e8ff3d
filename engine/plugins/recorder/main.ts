/**
 * The recorder: `pulumi-resource-<kubernetes|aws|cloudflare>`, for tests only. It makes nothing: it answers as the
 * vendor's plugin would, and writes down what was asked of it. See `recorderFolder` for where it refuses to run.
 */
import { readFileSync } from "node:fs";
import { EngineLog } from "../protocol/log.ts";
import { engineAddress, serve } from "../protocol/serve.ts";
import { modelNamed } from "./models.ts";
import { recorderFolder, recorderVariable } from "./place.ts";
import { recorderService } from "./service.ts";

const name = process.argv[2] ?? "";
const program = `pulumi-resource-${name}`;
try {
  const folder = recorderFolder(process.env);
  if (folder === undefined) {
    throw new Error(
      `this is Switchyard's recorder, a stand-in for tests that makes nothing real; ${recorderVariable} is not set, ` +
        `so it does not run. Install the vendor's plugin: \`pulumi plugin install resource ${name}\``,
    );
  }
  const manifest = new URL(`../../../node_modules/@pulumi/${name}/package.json`, import.meta.url);
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  serve(program, recorderService(await modelNamed(name), version, folder, new EngineLog(engineAddress())));
} catch (error) {
  process.stderr.write(`${program}: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
