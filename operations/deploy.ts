import type { RunResult } from "./engine.ts";
import { failuresBySystem, type RunRecord, touchedAnything } from "./events.ts";
import { clearDeadLocks } from "./lock.ts";
import { type BadRelease, badLive, clearBad, type Pins, PinsError, recordFingerprints } from "./pins.ts";
import {
  backendOf,
  type Exit,
  exit,
  observe,
  readHistory,
  readPins,
  record,
  type Session,
} from "./session.ts";
import { ensureWritable, type StackFile, writePins } from "./stackfile.ts";
import { takeBack } from "./takeback.ts";
import { servingText } from "./targets.ts";
import { update } from "./update.ts";

export interface DeployOptions {
  /** Told to the backend's history, with who did it. */
  readonly message: string;
  readonly allowBad?: boolean;
  /** The pins before this command changed them: put back when the update never came to touch anything. */
  readonly before?: Pins;
}

/**
 * The first step of every command that will update: nobody else is at work. A lock that a dead process of this host
 * left is cleared here.
 * @throws Locked, or PinsError where the stack's file cannot be written
 */
export async function claim(session: Session): Promise<StackFile> {
  await clearDeadLocks(await backendOf(session), session.stack, (line) => {
    session.voice.line(line);
    session.voice.emit("lock", { text: line });
  });
  const file = await readPins(session);
  await ensureWritable(file);
  return file;
}

/** `pulumi up` with everything around it: refuses bad releases, shows progress, records fingerprints, takes back. */
export async function deploy(session: Session, file: StackFile, options: DeployOptions): Promise<Exit> {
  const began = Date.now();
  const ready = await admitBad(session, file, options);
  const before = options.before ?? (ready === file ? null : file.pins);
  const putBack = () => (before ? writePins(ready, before) : Promise.resolve(ready));
  const run = await update(session, ready, options.message).catch(async (error: Error) => {
    await putBack();
    throw error;
  });
  if (run.ok) {
    const done = await recordPlaced(session, ready, run);
    sayDone(session, done, run);
    await record(session, done, "succeeded", began);
    return exit.ok;
  }
  if (run.interrupted || run.killed) return interrupted(session, ready, run, began);
  const failed = failedSystems(run.record);
  if (failed.length === 0) {
    const left = await putBack();
    sayNothingDone(session, run, before !== null);
    await record(session, left, "failed", began);
    return exit.failed;
  }
  const { code, file: after } = await takeBack(session, ready, run, failed);
  await record(session, after, code === exit.stuck ? "stuck" : "taken back", began);
  return code;
}

/** The deployment has succeeded: pins that somebody edited meanwhile are left to them, and said. */
async function recordPlaced(session: Session, file: StackFile, run: RunResult): Promise<StackFile> {
  try {
    return await writePins(file, recordFingerprints(file.pins, run.record.placed));
  } catch (error) {
    if (!(error instanceof PinsError)) throw error;
    session.voice.error(`the fingerprints were not recorded: ${error.message}`);
    return file;
  }
}

/** Live releases marked bad of the systems that an update would change: since `before`, or since the last update. */
export async function refused(session: Session, { pins }: StackFile, before?: Pins): Promise<BadRelease[]> {
  const bad = badLive(pins);
  if (bad.length === 0 || before) return before ? badLive(pins, before) : bad;
  const last = (await readHistory(session)).findLast(({ kind }) => kind === "update");
  return badLive(pins, last?.pins);
}

/** @throws PinsError when what is to go live is marked bad; with `allowBad` the marks go instead. */
async function admitBad(
  session: Session,
  file: StackFile,
  { allowBad, before }: DeployOptions,
): Promise<StackFile> {
  const bad = await refused(session, file, before);
  if (bad.length === 0) return file;
  if (allowBad !== true) {
    const lines = bad.map(
      ({ system, release, reason }) => `${system}:live is ${release}, marked bad (${reason})`,
    );
    const advice =
      "Release another version, or say --allow-bad to try it again all the same. Nothing was changed.";
    throw new PinsError([...lines, advice].join("\n"));
  }
  for (const { system, release } of bad)
    session.voice.line(`${system}: ${release} is tried again although it is marked bad`);
  return writePins(
    file,
    bad.reduce((pins, { system, release }) => clearBad(pins, system, release), file.pins),
  );
}

/** The systems in which something went wrong; where an error names none, those that were being worked on. */
function failedSystems(run: RunRecord): string[] {
  const named = [...failuresBySystem(run).keys()].filter((system) => system !== "");
  if (named.length > 0 || !touchedAnything(run)) return named;
  const worked = [...run.finished, ...run.running.values()].map(({ system }) => system);
  return [...new Set(worked.filter((system) => system !== null))];
}

function sayDone({ voice }: Session, file: StackFile, { record, seconds, files }: RunResult): void {
  const changes = Object.entries(record.summary?.changes ?? {}).filter(([op]) => op !== "same");
  const what = changes.map(([op, count]) => `${count} ${op}`).join(", ") || "nothing to do";
  for (const [system, { live, kept }] of Object.entries(file.pins)) {
    if (live !== null)
      voice.line(`${system}: ${live} is live${kept.length > 0 ? `, ${kept.join(", ")} kept` : ""}`);
  }
  for (const line of backupsMade(record)) voice.line(line);
  for (const line of addresses(record.outputs)) voice.line(line);
  voice.line(`done in ${seconds.toFixed(1)} s: ${what}`);
  const live = Object.fromEntries(Object.entries(file.pins).map(([system, { live }]) => [system, live]));
  const changed = Object.fromEntries(changes);
  voice.emit("result", {
    result: "succeeded",
    live,
    changes: changed,
    outputs: record.outputs,
    seconds,
    files,
  });
}

/** What was backed up before the migrations of this update. */
function backupsMade({ finished, outputs }: RunRecord): string[] {
  const made = finished.filter(({ name, op }) => /(^|-)backup$/.test(name) && !op.startsWith("delete"));
  return made.flatMap(({ system, release }) => {
    const { backups = {} } = (outputs[system ?? ""] ?? {}) as { backups?: Record<string, string> };
    const id = backups[release ?? ""];
    return id === undefined ? [] : [`${system}: backup from before the migration of ${release}: ${id}`];
  });
}

/** Where each system answers: the addresses among the stack's outputs. */
function addresses(outputs: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(outputs).flatMap(([system, each]) =>
    Object.entries(typeof each === "object" && each !== null ? each : { "": each }).flatMap(
      ([name, value]) =>
        typeof value === "string" && /^https?:\/\//.test(value)
          ? [`  ${`${system} ${name}`.padEnd(20)} ${value}`]
          : [],
    ),
  );
}

function sayNothingDone({ voice }: Session, run: RunResult, putBack: boolean): void {
  const errors = run.record.problems.map(({ message }) => message);
  const text = errors.length > 0 ? errors.join("\n") : run.said || "the engine gave no reason";
  voice.error(text);
  voice.error(`The update failed and no system was changed${putBack ? "; the pins are as they were" : ""}.`);
  voice.error(`The engine's record: ${run.files}`);
  voice.emit("result", { result: "failed", errors, files: run.files });
}

/** Stopped or killed: nothing says that a release is bad, so nothing is taken back; the targets look after traffic. */
async function interrupted(
  session: Session,
  file: StackFile,
  { killed }: RunResult,
  began: number,
): Promise<Exit> {
  const next = killed ? "`switchyard recover` goes on" : "`switchyard up` goes on from there";
  const what = killed ? `The engine was killed (${killed})` : "Stopped";
  session.voice.error(`${what}. What a target had begun ends there by itself; ${next}.`);
  const observed = await observe(session, file);
  for (const system of Object.keys(file.pins)) {
    session.voice.error(`  ${system}: serves ${servingText(observed[system])}`);
  }
  session.voice.emit("result", { result: "interrupted", killed, observed });
  await record(session, file, "interrupted", began);
  return killed ? exit.failed : exit.interrupted;
}
