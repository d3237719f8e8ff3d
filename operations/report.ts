import type { Failure } from "../components/rollout/cutover/state.ts";

/** What is known about a release that did not hold, for the five lines that people read first. */
export interface Fall {
  readonly system: string;
  readonly release: string;
  /** The target's own account, when this release's cutover got that far. */
  readonly failure: Failure | null;
  /** The engine's first error of the system, for what failed before the target had a say. */
  readonly error: string;
  readonly errorStep: string | null;
  /** What became of it: "taken back to v2", "left as it is: there is no earlier release", … */
  readonly outcome: string;
  /** What serves now, in words. */
  readonly serves: string;
  readonly markedBad: boolean;
  /** Folder of the engine's own record of the run. */
  readonly files: string;
}

const WIDTH = 160;

/**
 * Five lines: what broke which rule, measured against allowed, last journal lines, the evidence, what serves. The
 * journal comes before them, whole (CHR-7); where a checklist failed, its table comes after them, whole (DEI-1).
 */
export function failureReport(fall: Fall): string[] {
  const { system, release, failure } = fall;
  const bad = fall.markedBad ? `; ${release} is marked bad, refused until --allow-bad` : "";
  const where = failure?.leg === undefined ? system : `${system} ${failure.leg}`;
  const head = failure
    ? `${where}: ${release} broke the rule "${failure.rule}" in ${failure.step}; ${fall.outcome}`
    : `${system}: ${release} failed in ${fall.errorStep ?? "the update"}; ${fall.outcome}`;
  const [spoken, table] = withoutTable(ownWords(fall.error));
  const [said, printed] = withoutJournal(spoken);
  const journal = failure ? failure.journal : printed;
  const whole = journal.map((line) => `  ${line}`);
  return [
    ...(whole.length > 0 ? [`${where}: last ${whole.length} journal lines of ${release}`, ...whole] : []),
    head,
    `  measured  ${failure ? `${failure.measured}, allowed ${failure.allowed} (verdict ${failure.verdictAt})` : cut(said)}`,
    `  journal   ${journal.length > 0 ? cutLeft(journal.slice(-3).join(" ⏎ ")) : "no lines"}`,
    `  evidence  ${failure ? failure.evidence : fall.files}`,
    `  serves    ${fall.serves}${bad}`,
    ...(failure ? [] : table),
  ];
}

/** Why a release is bad, as the pins keep it: one line. */
export function badReason({
  failure,
  error,
  errorStep,
}: Pick<Fall, "failure" | "error" | "errorStep">): string {
  return failure
    ? cut(`${failure.step}: ${failure.rule}, measured ${failure.measured}, allowed ${failure.allowed}`)
    : cut(`${errorStep ?? "update"}: ${withoutJournal(withoutTable(ownWords(error))[0])[0]}`);
}

/** What the step itself said, without the command line that the engine puts before it. */
function ownWords(error: string): string {
  const command = /^(?:Process exited with|exit) status \d+: running "(?:[^"\\]|\\.)*":?\s*/;
  return error.replace(command, "") || error;
}

/** A checklist's table: its head and the numbered lines that follow. */
const checklistTable = /^ +item +found +allowed *$(?:\n\d+ {2}.*$)+/m;

function withoutTable(text: string): [string, string[]] {
  const [table = ""] = checklistTable.exec(text) ?? [];
  return [text.replace(table, "").trim(), table === "" ? [] : table.split("\n")];
}

/** The journal as a box's step prints it: its head and the lines that follow. */
const journalBlock = /^last \d+ journal lines:$(?:\n {2}.*$)+\n?/m;

function withoutJournal(text: string): [string, string[]] {
  const [block = ""] = journalBlock.exec(text) ?? [];
  const lines = block.trimEnd().split("\n").slice(1);
  return [text.replace(block, "").trim(), lines.map((line) => line.slice(2))];
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ⏎ ").trim();
}

function cut(text: string): string {
  const line = oneLine(text);
  return line.length <= WIDTH ? line : `${line.slice(0, WIDTH - 1)}…`;
}

/** The end of a journal tells more than its beginning. */
function cutLeft(text: string): string {
  const line = oneLine(text);
  return line.length <= WIDTH ? line : `…${line.slice(line.length - WIDTH + 1)}`;
}
