#!/usr/bin/env node
import { text } from "node:stream/consumers";
import type { DatabaseGateArgs } from "../../gates/database-access.ts";
import type { EmergencyStop } from "../../gates/emergency-stop.ts";
import type { CutoverRequest } from "../../rollout/cutover/machine.ts";
import type { Failure } from "../../rollout/cutover/state.ts";
import type { Asked } from "./cutover-files.ts";
import { exclusively } from "./exclusive.ts";
import type { GroundSpec, Host } from "./host.ts";
import { openHost, shutDown } from "./open-host.ts";
import { findRelease, type Policy, readCutover, writePolicy } from "./records.ts";
import type { Delivery } from "./verbs/preflight.ts";

/**
 * switchyard-box: the verbs of a box. The engine's Commands call them, and people may: each says what it left in one
 * line of JSON, is safe to repeat and to be killed, and takes secrets on standard input only.
 */
type Verb = (
  host: Host,
  system: string,
  release: string,
  fingerprint: string,
  more: string[],
) => Promise<unknown>;

/** Loaded by the verb that needs it: a cutover starts three processes in a row, each as fast as what it imports. */
const load = {
  baker: () => import("./verbs/baker.ts"),
  boot: () => import("./verbs/boot.ts"),
  check: () => import("./verbs/check.ts"),
  emergencyStop: () => import("./emergency-stop.ts"),
  checklist: () => import("./verbs/checklist.ts"),
  cutover: () => import("./verbs/cutover.ts"),
  databaseAccess: () => import("../../gates/database-access.ts"),
  gates: () => import("./verbs/gates.ts"),
  ground: () => import("./verbs/ground.ts"),
  observe: () => import("./verbs/observe.ts"),
  place: () => import("./verbs/place.ts"),
  preflight: () => import("./verbs/preflight.ts"),
  schema: () => import("./verbs/schema.ts"),
  vault: () => import("./verbs/vault.ts"),
  watchdog: () => import("./verbs/watchdog.ts"),
  withdraw: () => import("./verbs/withdraw.ts"),
};

const verbs: Readonly<Record<string, Verb>> = {
  ground: async (host) => (await load.ground()).ground(host, await input<GroundSpec & { receipt: string }>()),
  policy: async (host, system) => writePolicy(host, system, await input<Policy>()),
  preflight: async (host) => (await load.preflight()).preflight(host, await input<Delivery>()),
  checklist: async (host, system, _release, fingerprint) =>
    (await load.checklist()).checklistOf(host, system, fingerprint),
  "database-access": async () => (await load.databaseAccess()).databaseGate(await input<DatabaseGateArgs>()),
  backup: async (host, system, _release, fingerprint) =>
    (await load.schema()).backupBeforeMigration(host, system, fingerprint),
  migrate: async (host, system, _release, fingerprint) => {
    const { kept } = await input<{ kept: string[] }>();
    return (await load.schema()).migrate(host, system, fingerprint, kept);
  },
  place: async (host, system, _release, fingerprint) => (await load.place()).place(host, system, fingerprint),
  gates: async (host, system, _release, fingerprint) => (await load.gates()).gates(host, system, fingerprint),
  guarded: async () => undefined,
  guard: async (host, system, release, fingerprint) => {
    if (await isOf(host, system, release, fingerprint))
      await (await load.place()).refuseIfServing(host, system, fingerprint);
  },
  remove: async (host, system, release, fingerprint) => {
    if (await isOf(host, system, release, fingerprint))
      await (await load.place()).remove(host, system, fingerprint);
  },
  cutover: async (host, system, _release, fingerprint) => {
    const { receipt } = await input<{ receipt: string }>();
    return (await load.cutover()).cutover(host, system, { to: fingerprint, receipt });
  },
  check: async (host, system, _release, fingerprint) => ({
    finding: await (await load.check()).check(host, system, fingerprint),
  }),
  attempt: async (host, system) => (await load.cutover()).attempt(host, system, await input<Asked>()),
  flip: async (host, system, _release, fingerprint) => {
    const { by, reason } = await input<{ by: string; reason: string }>();
    const request: CutoverRequest = { to: fingerprint, receipt: `flip-${Date.now()}`, flip: { by, reason } };
    await (await load.cutover()).cutover(host, system, request);
    return readCutover(host, system);
  },
  withdraw: async (host, system) => {
    const { because } = await input<{ because?: Failure }>();
    return (await load.withdraw()).withdraw(host, system, because);
  },
  arm: async (host, system) =>
    (await load.withdraw()).arm(host, system, (await input<{ minutes: number }>()).minutes),
  stop: async (host, system) =>
    (await load.emergencyStop()).stopBake(host, system, await input<EmergencyStop>()),
  recover: async (host, system) => (await load.boot()).recover(host, system),
  "rollback-migration": async (host, system, _release, fingerprint) =>
    (await load.schema()).rollbackMigration(host, system, fingerprint),
  "migrate-resolve": async (host, system, _release, fingerprint, more) =>
    (await load.schema()).resolveHalfMigration(host, system, fingerprint, more),
  observe: async (host) => (await load.observe()).observe(host),
  shutdown: () => shutDown(),
  boot: async (host) => (await load.boot()).boot(host),
  "start-singletons": async (host) => (await load.boot()).startSingletons(host),
  "bake-under-watch": async (host, system, key) => (await load.watchdog()).bakeUnderWatch(host, system, key),
  bake: async (host, system, key) => (await load.baker()).bakeCutover(host, system, key),
};

/** A state may hold steps under a name that the release was never placed by: deleting these leaves the release alone. */
async function isOf(host: Host, system: string, release: string, fingerprint: string): Promise<boolean> {
  const known = await findRelease(host, system, fingerprint);
  return known === null || known.manifest.release === release;
}

/** Verbs that change what is placed of a release: one at a time, also when an engine died and another one came. */
const placing = new Set(["preflight", "backup", "migrate", "place", "gates", "remove"]);

async function input<T>(): Promise<T> {
  return JSON.parse((await text(process.stdin)) || "{}") as T;
}

async function main([
  name = "",
  system = "",
  release = "",
  fingerprint = "",
  ...more
]: string[]): Promise<string> {
  const verb = name.startsWith("vault-") ? (await load.vault()).vaultVerbs[name] : verbs[name];
  if (!verb) throw new Error(`there is no verb "${name}"; there are: ${Object.keys(verbs).join(", ")}`);
  const host = await openHost();
  const work = () => verb(host, system, release, fingerprint, more);
  const left = await (placing.has(name) ? exclusively(host, `${system}-${fingerprint}`, work) : work());
  return `${JSON.stringify(left ?? { done: name })}\n`;
}

main(process.argv.slice(2)).then(
  (line) => process.stdout.write(line, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.message}\n`, () => process.exit(1)),
);
