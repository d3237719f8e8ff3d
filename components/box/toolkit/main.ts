#!/usr/bin/env node
import { text } from "node:stream/consumers";
import type { CutoverRequest } from "../../rollout/cutover/machine.ts";
import type { Failure } from "../../rollout/cutover/state.ts";
import { exclusively } from "./exclusive.ts";
import type { GroundSpec, Host } from "./host.ts";
import { openHost, shutDown } from "./open-host.ts";
import { findRelease, type Policy, readCutover, writePolicy } from "./records.ts";
import { bakeCutover, bakeUnderWatch } from "./verbs/baker.ts";
import { boot, recover, startSingletons } from "./verbs/boot.ts";
import { check } from "./verbs/check.ts";
import { attempt, cutover } from "./verbs/cutover.ts";
import { gates } from "./verbs/gates.ts";
import { ground } from "./verbs/ground.ts";
import { observe } from "./verbs/observe.ts";
import { place, refuseIfServing, remove } from "./verbs/place.ts";
import { type Delivery, preflight } from "./verbs/preflight.ts";
import { backupBeforeMigration, migrate, resolveHalfMigration, rollbackMigration } from "./verbs/schema.ts";
import { arm, withdraw } from "./verbs/withdraw.ts";

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

const verbs: Readonly<Record<string, Verb>> = {
  ground: async (host) => ground(host, await input<GroundSpec & { receipt: string }>()),
  policy: async (host, system) => writePolicy(host, system, await input<Policy>()),
  preflight: async (host) => preflight(host, await input<Delivery>()),
  backup: (host, system, _release, fingerprint) => backupBeforeMigration(host, system, fingerprint),
  migrate: async (host, system, _release, fingerprint) => {
    const { kept } = await input<{ kept: string[] }>();
    return migrate(host, system, fingerprint, kept);
  },
  place: (host, system, _release, fingerprint) => place(host, system, fingerprint),
  gates: (host, system, _release, fingerprint) => gates(host, system, fingerprint),
  guarded: async () => undefined,
  guard: async (host, system, release, fingerprint) => {
    if (await isOf(host, system, release, fingerprint)) await refuseIfServing(host, system, fingerprint);
  },
  remove: async (host, system, release, fingerprint) => {
    if (await isOf(host, system, release, fingerprint)) await remove(host, system, fingerprint);
  },
  cutover: async (host, system, _release, fingerprint) => {
    const { receipt } = await input<{ receipt: string }>();
    return cutover(host, system, { to: fingerprint, receipt });
  },
  check: async (host, system, _release, fingerprint) => ({ finding: await check(host, system, fingerprint) }),
  attempt: async (host, system) => attempt(host, system, await input<CutoverRequest>()),
  flip: async (host, system, _release, fingerprint) => {
    const { by, reason } = await input<{ by: string; reason: string }>();
    const request: CutoverRequest = { to: fingerprint, receipt: `flip-${Date.now()}`, flip: { by, reason } };
    await cutover(host, system, request);
    return readCutover(host, system);
  },
  withdraw: async (host, system) => {
    const { because } = await input<{ because?: Failure }>();
    return withdraw(host, system, because);
  },
  arm: async (host, system) => arm(host, system, (await input<{ minutes: number }>()).minutes),
  recover: (host, system) => recover(host, system),
  "rollback-migration": (host, system, _release, fingerprint) => rollbackMigration(host, system, fingerprint),
  "migrate-resolve": (host, system, _release, fingerprint, more) =>
    resolveHalfMigration(host, system, fingerprint, more),
  observe: (host) => observe(host),
  shutdown: () => shutDown(),
  boot: (host) => boot(host),
  "start-singletons": (host) => startSingletons(host),
  "bake-under-watch": (host, system, receipt) => bakeUnderWatch(host, system, receipt),
  bake: (host, system, receipt) => bakeCutover(host, system, receipt),
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
  const verb = verbs[name];
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
