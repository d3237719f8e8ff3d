import type { StackVersion } from "../history.ts";
import { exit, readHistory } from "../session.ts";
import type { CommonOptions, Define } from "./shape.ts";

export const history: Define = (program, run) => {
  program
    .command("history")
    .description("stack versions with what was live in each; `rollback --to` takes those that are offered")
    .option("--all", "every entry, not only the last twenty")
    .action((options: CommonOptions & { all?: boolean }) =>
      run(options, async (session) => {
        const versions = await readHistory(session);
        for (const { pins: _pins, ...version } of versions) session.voice.emit("version", version);
        const shown = options.all ? versions : versions.slice(-20);
        if (shown.length === 0) session.voice.line(`stack "${session.stack}" was never updated`);
        for (const line of historyTable(shown)) session.voice.line(line);
        return exit.ok;
      }),
    );
};

/** Newest first; what is not offered says why in the place of its releases. */
export function historyTable(versions: readonly StackVersion[]): string[] {
  const rows = [...versions].reverse().map((version) => {
    const live = Object.entries(version.live)
      .map(([system, release]) => `${system} ${release}`)
      .join(", ");
    const what = version.kind === "update" ? version.result : `${version.kind} ${version.result}`;
    const note = version.notOffered === null ? live : `not offered: ${version.notOffered}`;
    return [
      `${version.number}`,
      version.startedAt.slice(0, 19).replace("T", " "),
      what,
      version.who,
      note,
      version.message,
    ];
  });
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(0, ...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
