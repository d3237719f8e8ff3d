import compare from "semver/functions/compare.js";
import parse from "semver/functions/parse.js";
import type { CutoverRequest } from "../cutover/machine.ts";
import type { Failure } from "../cutover/state.ts";
import type { LegDriver } from "../leg.ts";
import type { KnownRelease, TargetObservation } from "../observation.ts";

/**
 * The cutover of a system over several legs, providers before consumers. All are checked first; each leg's cutover is a
 * transaction of its own, on its own target; when a later one fails, those that were confirmed go back in reverse. So
 * old with old, new provider with old consumer, and new with new can exist, and nothing else. A run that is killed in
 * between leaves one of these; the next one goes on at the first leg that is not confirmed.
 */
export interface NamedDriver {
  readonly name: string;
  readonly driver: LegDriver;
}

/** The release that is to serve on every leg, under which receipt, and whether it is an emergency flip. */
export type LegsRequest = Pick<CutoverRequest, "to" | "receipt" | "flip">;

/** A leg did not hold; what was confirmed before it has gone back, or `stranded` says which has not. */
export class LegFailure extends Error {
  readonly leg: string;
  readonly failure: Failure;

  constructor(leg: string, failure: Failure, stranded: readonly string[]) {
    const { release, step, rule, measured, allowed, journal, evidence } = failure;
    const lines = [
      `${leg}: ${release} did not hold (${step}): ${rule}`,
      `measured: ${measured}`,
      `allowed: ${allowed}`,
      ...journal.slice(-5).map((line) => `  ${line}`),
      `evidence: ${evidence || "none"}`,
      ...stranded,
    ];
    super(lines.join("\n"));
    this.name = "LegFailure";
    this.leg = leg;
    this.failure = failure;
  }
}

interface Leg extends NamedDriver {
  /** What the target said before anything moved. */
  readonly before: TargetObservation;
}

/** @throws LegFailure when a leg does not hold; Error when one cannot be asked, and then nothing more moves */
export async function cutOverLegs(drivers: readonly NamedDriver[], request: LegsRequest): Promise<void> {
  const { to } = request;
  const legs = await Promise.all(
    drivers.map(async ({ name, driver }): Promise<Leg> => ({ name, driver, before: await driver.observe() })),
  );
  const ordered = isWayBack(legs, to) ? legs.toReversed() : legs;
  await checkAll(ordered, to);
  const confirmed: Leg[] = [];
  for (const leg of ordered) {
    const outcome = await leg.driver.cutOver(request);
    if (!outcome.held) {
      const failure = { ...outcome.failure, leg: leg.name };
      throw new LegFailure(leg.name, failure, await goBack(confirmed, leg, failure));
    }
    confirmed.push(leg);
  }
}

/** Takes traffic from every leg, consumers first. */
export async function withdrawLegs(drivers: readonly NamedDriver[]): Promise<void> {
  for (const { driver } of drivers.toReversed()) await driver.withdraw();
}

/** Going to an older release, consumers go first: an old provider never meets a new consumer. */
function isWayBack(legs: readonly Leg[], to: string): boolean {
  return legs.some(({ before: { known, confirmed } }) => {
    const find = (wanted: string | null) => known.find(({ fingerprint }) => fingerprint === wanted);
    const [from, wanted] = [find(confirmed), find(to)];
    return from !== undefined && wanted !== undefined && isOlder(wanted, from);
  });
}

/**
 * By their versions, not by their names: a version that is released again has a name (v2.0.0-r2) that SemVer would
 * place before it. Where a version is no SemVer (a branch, a date), or both have the same precedence, the one that was
 * placed first is the older one.
 */
function isOlder(one: KnownRelease, other: KnownRelease): boolean {
  const [version, otherVersion] = [one, other].map(({ manifest }) => parse(manifest.version));
  const order = version && otherVersion ? compare(version, otherVersion) : 0;
  return order === 0 ? placedAt(one) < placedAt(other) : order < 0;
}

/** A receipt is the time of the update that placed the release. */
const placedAt = ({ receipt }: KnownRelease) => Number.parseInt(receipt.replace(/^r/, ""), 36);

/** Nothing moves anywhere while one of the legs could not take traffic. */
async function checkAll(legs: readonly Leg[], to: string): Promise<void> {
  for (const leg of legs) {
    const { name, driver, before } = leg;
    if (before.confirmed === to) continue;
    const finding = await driver.check(to);
    if (!finding) continue;
    const { rule, measured, allowed } = finding;
    const explained = (await finding.explain?.().catch(() => null)) ?? { journal: [], evidence: "" };
    const release = before.known.find(({ fingerprint }) => fingerprint === to)?.release ?? to;
    const at = (finding.at ?? new Date()).toISOString();
    const what = { fingerprint: to, release, leg: name, step: "health", rule, measured, allowed } as const;
    const failure: Failure = { ...what, ...explained, at, verdictAt: at };
    // On its target's record, so that whoever asks later knows the release was found wanting: it is marked bad.
    throw new LegFailure(name, failure, await stay(leg, before, failure));
  }
}

/**
 * Back, in reverse, to what the failing leg serves: where that leg was met half way of an earlier run, that is what the
 * others served before it. Returns a line for each leg that could not go back.
 */
async function goBack(confirmed: readonly Leg[], failing: Leg, failure: Failure): Promise<string[]> {
  const stranded: string[] = [];
  for (const leg of confirmed.toReversed()) stranded.push(...(await stay(leg, failing.before, failure)));
  return stranded;
}

/** A leg serves what served before, with the failure on its record; a line where it could not be brought to that. */
async function stay({ name, driver }: Leg, before: TargetObservation, failure: Failure): Promise<string[]> {
  const { confirmed: old, receipt } = before;
  try {
    if (old === null) {
      await driver.withdraw(failure);
      return [];
    }
    const outcome = await driver.cutOver({ to: old, receipt: receipt ?? "", returning: failure });
    if (outcome.held) return [];
    const { rule, measured, allowed } = outcome.failure;
    return [`${name} could NOT go back to ${old}: ${rule}: ${measured}, allowed ${allowed}`];
  } catch (error) {
    return [`${name} could NOT go back to ${old}: ${(error as Error).message}`];
  }
}
