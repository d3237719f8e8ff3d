import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { mustRun, type RunResult, run } from "./run.ts";
import { unitFolder } from "./systemd-unit.ts";

/** systemd's own commands, bounded and in one language. */

const environment = { LC_ALL: "C.UTF-8", SYSTEMD_COLORS: "0", SYSTEMD_PAGER: "" };

export function systemctl(words: readonly string[], seconds = 30): Promise<RunResult> {
  return run(["systemctl", "--no-ask-password", ...words], { seconds, env: environment });
}

/** Throws, with what systemd said, unless the command succeeds. */
export function mustSystemctl(words: readonly string[], seconds = 30): Promise<string> {
  return mustRun(["systemctl", "--no-ask-password", ...words], { seconds, env: environment });
}

/** Properties of a unit by name; a unit that systemd does not know has LoadState "not-found". */
export async function showUnit(unit: string, properties: readonly string[]): Promise<Record<string, string>> {
  const printed = await mustSystemctl(["show", unit, `--property=${properties.join(",")}`]);
  return parseProperties(printed);
}

export function parseProperties(printed: string): Record<string, string> {
  const lines = printed.split("\n").filter((line) => line.includes("="));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

/** Makes systemd read the unit's file again where it has changed since; a file it has not read yet needs nothing. */
export async function readAgain(unit: string): Promise<void> {
  const { NeedDaemonReload } = await showUnit(unit, ["NeedDaemonReload"]);
  if (NeedDaemonReload === "yes") await mustSystemctl(["daemon-reload"], 60);
}

/** Starts at boot. Asks systemd only where the link is not there: it reads all units again at each answer. */
export async function enable(unit: string): Promise<void> {
  if (!(await isEnabled(unit))) await mustSystemctl(["enable", "--quiet", unit], 60);
}

export async function disable(unit: string): Promise<void> {
  if (await isEnabled(unit)) await mustSystemctl(["disable", "--quiet", unit], 60);
}

async function isEnabled(unit: string): Promise<boolean> {
  try {
    await lstat(join(unitFolder, "multi-user.target.wants", unit));
    return true;
  } catch {
    return false;
  }
}

/** The last lines a unit has logged, oldest first, each with its time. */
export async function journalOf(unit: string, lines: number): Promise<string[]> {
  // What a process wrote just before it died may still be on its way to the journal.
  await run(["journalctl", "--sync"], { seconds: 5, env: environment });
  const printed = await mustRun(
    [
      "journalctl",
      "--quiet",
      "--no-pager",
      "--output=short-iso",
      "--no-hostname",
      `--lines=${lines}`,
      `--unit=${unit}`,
    ],
    { seconds: 15, env: environment },
  );
  return printed.split("\n").filter((line) => line !== "");
}
