import { setTimeout as sleep } from "node:timers/promises";
import { longestOfAnyCutover } from "../components/rollout/cutover/longest.ts";
import type { RunResult } from "./engine.ts";
import { failuresBySystem, type Step } from "./events.ts";
import { lastGood, type StackVersion } from "./history.ts";
import { restoreFrom } from "./moves.ts";
import { markBad, type Pins, pinsOf, type Release, recordFingerprints, withSystem } from "./pins.ts";
import { badReason, type Fall, failureReport } from "./report.ts";
import { type Exit, exit, type Observations, observe, readHistory, type Session } from "./session.ts";
import { type StackFile, writePins } from "./stackfile.ts";
import { stateOf, stateText } from "./state.ts";
import { confirmedRelease, isReachable, servingText } from "./targets.ts";
import { update } from "./update.ts";

/** What is done about one system that failed. */
interface Remedy {
  readonly system: string;
  /** Release that failed. */
  readonly release: string;
  readonly pins: Pins;
  readonly kind:
    | "restore" // its pins go back to the last good version
    | "holds" // the target confirms the new release: what failed came after, there is nothing to take back
    | "first" // there was never a good version
    | "same"; // the pins were those of the last good version already
  /** Release that is to serve again. */
  readonly back: string | null;
}

/**
 * After a failed update: the pins of the failing systems (only theirs) go back to their last good version, a second
 * update makes state, config and world agree, the targets are asked whether that is so, and the release is marked bad.
 */
export async function takeBack(
  session: Session,
  file: StackFile,
  run: RunResult,
  systems: readonly string[],
): Promise<{ code: Exit; file: StackFile }> {
  const observed = await observeVerdicts(session, file, systems);
  const versions = await readHistory(session).catch((error: Error) => {
    session.voice.error(`the history cannot be read: ${error.message}`);
    return [];
  });
  let pins = file.pins;
  const remedies: Remedy[] = [];
  for (const system of systems) {
    const remedy = remedyFor(system, pins, run, observed, versions);
    if (remedy === null) continue;
    remedies.push(remedy);
    pins = remedy.pins;
  }
  const falls = remedies.map((remedy) => fallOf(remedy, run, observed));
  for (const fall of falls) {
    const entry = file.pins[fall.system]!.releases[fall.release];
    if (fall.markedBad && entry) pins = markBad(pins, fall.system, fall.release, entry, badReason(fall));
  }
  let after = await writePins(file, pins);

  const restored = remedies.filter(({ kind }) => kind === "restore");
  let second: RunResult | null = null;
  if (restored.length > 0) {
    const what = restored.map(({ system, release, back }) => `${system} ${release} → ${back}`).join(", ");
    session.voice.line(`taking back ${what}`);
    session.voice.emit("taking-back", {
      systems: restored.map(({ system, release, back }) => ({ system, release, back })),
    });
    second = await update(session, after, `take back ${what}`);
    if (second.ok) after = await writePins(after, recordFingerprints(after.pins, second.record.placed));
  }
  const now = restored.length > 0 ? await observe(session, after) : observed;
  const stuck = remedies.filter((remedy) => !isGood(remedy, now, second));
  say(session, after, remedies, falls, now, stuck, second);
  return { code: stuck.length > 0 ? exit.stuck : exit.failed, file: after };
}

/**
 * A baker that outlived its engine gives its verdict first: a release that proves itself is not taken back. It has as
 * long as its target says that a cutover may take, however long its bake is.
 */
export async function observeVerdicts(
  session: Session,
  file: StackFile,
  systems: readonly string[],
): Promise<Observations> {
  const began = performance.now();
  let said = false;
  for (;;) {
    const observed = await observe(session, file);
    const running = systems.filter((system) => {
      const found = observed[system];
      return isReachable(found) && found.running;
    });
    const longest = Math.max(...running.map((system) => longestCutoverOf(observed[system])));
    const late = performance.now() - began > longest * 1000;
    if (running.length === 0 || session.signal.aborted || late) return observed;
    if (!said)
      session.voice.line(
        `${running.join(", ")}: the cutover still runs on the target; waiting for its verdict`,
      );
    said = true;
    await sleep(1000);
  }
}

function longestCutoverOf(found: Observations[string] | undefined): number {
  return (isReachable(found) ? found.longestCutover : undefined) ?? longestOfAnyCutover;
}

function remedyFor(
  system: string,
  pins: Pins,
  { record }: RunResult,
  observed: Observations,
  versions: readonly StackVersion[],
): Remedy | null {
  const { live, releases } = pinsOf(pins, system);
  if (live === null) return null;
  const base = { system, release: live, pins };
  const found = observed[system];
  const confirmed = confirmedRelease(found);
  if (isReachable(found) && found.confirmed !== null && confirmed === live) {
    const tried = record.placed[system]?.[live] ?? found.confirmed;
    if (tried === found.confirmed) {
      const settled = found.pending === null && found.stuck === null;
      return { ...base, kind: settled ? "holds" : "same", back: live };
    }
    // Rendered anew under the same name: what serves is the one placed before.
    const entry: Release = { ...releases[live]!, fingerprint: found.confirmed };
    const back = withSystem(pins, system, {
      ...pinsOf(pins, system),
      releases: { ...releases, [live]: entry },
    });
    return { ...base, pins: back, kind: "restore", back: live };
  }
  const good = lastGood(versions, system, confirmed ?? null);
  if (good === null) return { ...base, kind: "first", back: null };
  const placed = isReachable(found) ? found.placed.map(({ fingerprint }) => fingerprint) : null;
  const change = restoreFrom(pins, system, good, { placed, kept: "past", allowBad: true });
  if (change.release === live) return { ...base, kind: "same", back: live };
  return { ...base, pins: change.pins, kind: "restore", back: change.release };
}

function fallOf({ system, release, kind, back }: Remedy, run: RunResult, observed: Observations): Fall {
  const found = observed[system];
  const tried = run.record.placed[system]?.[release];
  const last = isReachable(found) ? found.lastFailure : null;
  // An older failure of another release says nothing about this one.
  const failure =
    last && (tried === undefined ? last.release === release : last.fingerprint === tried) ? last : null;
  const problem = run.record.problems.find((each) => each.system === system);
  const failed = run.record.finished.find((step) => step.failed && step.system === system);
  const step = problem?.step ?? failed ?? null;
  const errorStep = step?.name ?? null;
  const judged = failure !== null || step === null || !judgesTheMachine(step);
  const outcomes = {
    restore: `taken back to ${back}`,
    holds: `it is confirmed and stays; what failed came after: run \`switchyard up\` again`,
    first: "there is no earlier good release to go back to, its doors answer 503",
    same: "the last good version has the same pins, so there is nothing to go back to",
  };
  return {
    system,
    release,
    failure,
    error: problem?.message ?? failuresBySystem(run.record).get("") ?? run.said,
    errorStep,
    outcome: outcomes[kind],
    serves: servingText(found),
    markedBad: judged && (kind === "first" || (kind === "restore" && back !== release)),
    files: run.files,
  };
}

/**
 * Steps that say nothing of the release: those that are not of one (ground, vault, policy; a cutover whose target names
 * no failure of the release), and those that ask for room, a database, a connection. It may go out again once that is
 * mended. Where a system has several legs, the leg's name stands before the step's.
 */
export const judgesTheMachine = ({ release, name }: Pick<Step, "release" | "name">): boolean =>
  release === null || /^((box|cluster|edge)-)?(preflight|backup)$/.test(name);

/** Whether the system is where its remedy meant it to be; "first" is, with nothing serving. */
function isGood({ system, back, kind }: Remedy, now: Observations, second: RunResult | null): boolean {
  const found = now[system];
  if (kind === "first") return found === undefined || (isReachable(found) && found.stuck === null);
  if (!isReachable(found) || found.pending !== null || found.stuck !== null) return false;
  return confirmedRelease(found) === back && (kind !== "restore" || second?.ok === true);
}

function say(
  session: Session,
  file: StackFile,
  remedies: readonly Remedy[],
  falls: readonly Fall[],
  now: Observations,
  stuck: readonly Remedy[],
  second: RunResult | null,
): void {
  const { voice } = session;
  const reports = remedies.map(({ system }, index) => {
    const isStuck = stuck.some((each) => each.system === system);
    const outcome =
      isStuck && second ? `taking it back to ${remedies[index]!.back} FAILED` : falls[index]!.outcome;
    return failureReport({ ...falls[index]!, outcome, serves: servingText(now[system]) });
  });
  for (const report of reports) for (const line of report) voice.error(line);
  const states = Object.keys(file.pins).map((system) => stateOf(system, file, now));
  if (stuck.length > 0) {
    const why =
      second && !second.ok ? (failuresBySystem(second.record).values().next().value ?? second.said) : null;
    voice.error(
      `TAKING BACK DID NOT HOLD: ${stuck.map(({ system }) => system).join(", ")}${why ? ` (${why.split("\n")[0]})` : ""}`,
    );
    for (const state of states) voice.error(stateText(state));
    const { stack } = session;
    voice.error(`\`switchyard recover --stack ${stack}\` clears what is in the way and tries again.`);
    for (const { system, back } of stuck)
      if (back !== null)
        voice.error(`\`switchyard flip ${system} --to ${back} --stack ${stack}\` moves its traffic at once.`);
  }
  voice.emit("result", {
    result: stuck.length > 0 ? "stuck" : "taken back",
    reports: remedies.map(({ system }, index) => ({ system, lines: reports[index] })),
    states,
  });
}
