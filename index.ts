import * as pulumi from "@pulumi/pulumi";
import log from "@pulumi/pulumi/log/index.js";
import { UnreachableError } from "./components/rollout/leg.ts";
import { ConfigError } from "./stacks/config/errors.ts";
import { rawConfig, readStackConfig } from "./stacks/config/read.ts";
import { environment } from "./stacks/environment.ts";

// The SDK's debug lines repeat secret inputs in clear, and `--json` and event logs carry them to disk.
log.debug = async () => {};

// For every output the SDK takes a stack, and looks each of its lines up in a source map: a third of the program's time.
// Node strips the types in place, so its own stacks have the right lines without.
Reflect.deleteProperty(Error, "prepareStackTrace");

const secretKeys = JSON.parse(process.env.PULUMI_CONFIG_SECRET_KEYS ?? "[]") as string[];
/** The program: config → environment → outputs. */
export default await run().catch((error: unknown) => {
  // Their message says what to do. The stack that the SDK prints below an unknown error would hide it.
  const isForTheUser = error instanceof ConfigError || error instanceof UnreachableError;
  throw isForTheUser ? new pulumi.RunError(error.message) : error;
});

async function run() {
  return environment(readStackConfig(pulumi.getStack(), rawConfig(pulumi.runtime.allConfig(), secretKeys)));
}
