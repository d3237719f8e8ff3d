import { text } from "node:stream/consumers";
import type { PackageSpec } from "./package.ts";
import { checkPackage, publishPackage } from "./publish.ts";

/**
 * Verbs on the runner: `check` packs and asks, `publish-npm` and `publish-cargo` publish what the registry lacks. Each
 * reads a package on standard input, as JSON, and says what became of it in one line of JSON; tokens come from the
 * environment.
 */
async function main([verb = ""]: string[]): Promise<string> {
  const spec = JSON.parse(await text(process.stdin)) as PackageSpec;
  if (verb === "check") return JSON.stringify(await checkPackage(spec));
  if (verb === `publish-${spec.kind}`)
    return JSON.stringify({ ...(await publishPackage(spec)), irreversible: true });
  throw new Error(
    `found the verb "${verb}" with a package of ${spec.kind}, expected check or publish-${spec.kind}`,
  );
}

main(process.argv.slice(2)).then(
  (line) => process.stdout.write(`${line}\n`, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.message}\n`, () => process.exit(1)),
);
