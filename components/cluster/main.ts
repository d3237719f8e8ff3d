import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import type { ClusterApi } from "./api.ts";
import { reaching } from "./connect.ts";
import { clusterDriver } from "./driver.ts";
import { type GatesInput, gates } from "./gates.ts";
import { refuseIfServing } from "./guard.ts";
import type { ClusterMigration, ClusterRelease } from "./manifest.ts";
import { backUp, migrate } from "./migrate.ts";
import { scale } from "./scale.ts";
import { type VerifyInput, verifyImages } from "./verify.ts";

/**
 * The verbs of a cluster, run on the runner with its kubeconfig: `<verb> <system> [<release> <fingerprint>] --namespace
 * <name> [--context <name>]`. Each is safe to repeat and to be killed, takes its input as JSON on standard input, and
 * says what it left in one line of JSON.
 */
type Verb = (call: Call) => Promise<unknown>;

interface Call {
  readonly api: ClusterApi;
  readonly driver: ReturnType<typeof clusterDriver>;
  readonly system: string;
  readonly release: string;
  readonly fingerprint: string;
}

const verbs: Readonly<Record<string, Verb>> = {
  verify: async () => verifyImages(await input<VerifyInput>()),
  backup: async ({ api }) => {
    const { release, migration } = await input<{ release: ClusterRelease; migration: ClusterMigration }>();
    return { backup: await backUp(api, release, migration) };
  },
  migrate: async ({ api }) => {
    const { release, migration } = await input<{ release: ClusterRelease; migration: ClusterMigration }>();
    await migrate(api, release, migration);
  },
  gates: async ({ api }) => ({ gates: await gates(api, await input<GatesInput>()) }),
  guarded: async () => undefined,
  guard: ({ api, system, release, fingerprint }) => refuseIfServing(api, system, release, fingerprint),
  scale: async ({ api, system }) =>
    scale(api, system, (await input<{ replicas: Record<string, number> }>()).replicas),
  scaled: async () => undefined,
  cutover: async ({ driver, system, fingerprint }) => {
    const { receipt } = await input<{ receipt: string }>();
    const outcome = await driver.cutOver({ to: fingerprint, receipt });
    if (outcome.held) return { confirmed: fingerprint };
    const { release, step, rule, measured, allowed, journal, evidence } = outcome.failure;
    const { confirmed } = await driver.observe();
    throw new Error(
      [
        `${system} ${release} did not hold (${step}): ${rule}`,
        `measured: ${measured}`,
        `allowed: ${allowed}`,
        ...journal.slice(-5).map((line) => `  ${line}`),
        `evidence: ${evidence || "none"}; serving now: ${confirmed ?? "nothing"}`,
      ].join("\n"),
    );
  },
  withdraw: ({ driver }) => driver.withdraw(),
  observe: ({ driver }) => driver.observe(),
  stop: async ({ driver }) => driver.stop(await input()),
  recover: ({ driver }) => driver.recover(),
  arm: async ({ driver }) => driver.arm((await input<{ minutes: number }>()).minutes),
};

async function input<T>(): Promise<T> {
  return JSON.parse((await text(process.stdin)) || "{}") as T;
}

async function main(words: string[]): Promise<string> {
  const options = { namespace: { type: "string" }, context: { type: "string" } } as const;
  const { values, positionals } = parseArgs({ args: words, options, allowPositionals: true });
  const [name = "", system = "", release = "", fingerprint = ""] = positionals;
  const verb = verbs[name];
  if (!verb) throw new Error(`there is no verb "${name}"; there are: ${Object.keys(verbs).join(", ")}`);
  if (!values.namespace) throw new Error(`${name}: --namespace is missing`);
  const { namespace, context } = values;
  const driver = clusterDriver({ kind: "cluster", system, namespace, ...(context ? { context } : {}) });
  const call = (api: ClusterApi) => verb({ api, driver, system, release, fingerprint });
  const left = await reaching({ namespace, context }, call);
  return `${JSON.stringify(left ?? { done: name })}\n`;
}

main(process.argv.slice(2)).then(
  (line) => process.stdout.write(line, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.message}\n`, () => process.exit(1)),
);
