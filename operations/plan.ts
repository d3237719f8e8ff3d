import type { FinishedStep, RunRecord } from "./events.ts";
import type { Pins } from "./pins.ts";

/** What an update would do, in lines by system: what is placed, whether traffic moves, what is removed, notes. */
export function planned(pins: Pins, { finished, notes }: RunRecord): string[] {
  const lines = Object.keys(pins).map((system) => {
    const steps = finished.filter((step) => step.system === system);
    return `${system}: ${planOf(steps, pins[system]!.live) || "nothing to do"}`;
  });
  const other = finished.filter(({ system }) => system === null);
  if (other.length > 0)
    lines.push(`beside the systems: ${other.map(({ op, name }) => `${op} ${name}`).join(", ")}`);
  return [...lines, ...[...new Set(notes)].map((note) => `note: ${note.split("\n")[0]}`)];
}

function planOf(steps: readonly FinishedStep[], live: string | null): string {
  const isDelete = ({ op }: FinishedStep) => op.startsWith("delete");
  const ofReleases = steps.filter(({ release }) => release !== null);
  const byRelease = Map.groupBy(
    ofReleases,
    (step) => `${isDelete(step) ? "remove" : "place"} ${step.release}`,
  );
  const cutover = steps.some((step) => step.name === "cutover" && !isDelete(step));
  const rest = steps.filter(({ release, name }) => release === null && name !== "cutover");
  const placing = [...byRelease].filter(([what]) => what.startsWith("place"));
  const removing = [...byRelease].filter(([what]) => what.startsWith("remove"));
  return [
    ...rest.map(({ op, name }) => `${op} ${name}`),
    ...placing.map(([what, each]) => `${what} (${each.map(({ name }) => name).join(", ")})`),
    ...(cutover ? [`move traffic to ${live} and watch it`] : []),
    ...removing.map(([what]) => what),
  ].join("; then ");
}
