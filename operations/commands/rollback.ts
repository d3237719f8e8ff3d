import { claim, deploy } from "../deploy.ts";
import { rollbackToKept } from "../moves.ts";
import { PinsError, pinsOf } from "../pins.ts";
import { restoreVersion } from "../restoring.ts";
import { exit } from "../session.ts";
import { writePins } from "../stackfile.ts";
import { allowBad, type CommonOptions, type Define } from "./shape.ts";

type Options = CommonOptions & {
  readonly to?: string;
  readonly system?: string;
  readonly allowBad?: boolean;
};

export const rollback: Define = (program, run) => {
  program
    .command("rollback")
    .description(
      "go back: to the kept release, or with --to to what was live in a stack version of the history",
    )
    .option("--to <number>", "stack version, as `switchyard history` numbers them")
    .option("--system <name>", "only this system; without --to needed where several keep a release")
    .option(...allowBad)
    .action((options: Options) =>
      run(options, async (session) => {
        const file = await claim(session);
        const allowed = options.allowBad === true;
        if (options.to !== undefined) {
          const { pins, texts } = await restoreVersion(session, file, wholeNumber(options.to), {
            ...(options.system === undefined ? {} : { system: options.system }),
            allowBad: allowed,
          });
          for (const text of texts) session.voice.line(text);
          const message = `rollback to ${options.to}${options.system ? ` (${options.system})` : ""}`;
          return deploy(session, await writePins(file, pins), { message, before: file.pins });
        }
        const system = options.system ?? onlyOneKept(file.pins);
        const left = pinsOf(file.pins, system).live;
        const change = rollbackToKept(file.pins, system, { allowBad: allowed });
        session.voice.line(`${system}: back from ${left} to ${change.release}`);
        if (!change.changed) return exit.ok;
        const message = `rollback ${system} ${left} → ${change.release}`;
        return deploy(session, await writePins(file, change.pins), { message, before: file.pins });
      }),
    );
};

function onlyOneKept(pins: Parameters<typeof pinsOf>[0]): string {
  const keeping = Object.entries(pins).filter(([, { kept }]) => kept.length > 0);
  if (keeping.length === 1) return keeping[0]![0];
  throw new PinsError(
    keeping.length === 0
      ? "no system keeps a release: see `switchyard history` and go back with `switchyard rollback --to N`"
      : `several systems keep a release (${keeping.map(([name]) => name).join(", ")}): say which with --system`,
  );
}

function wholeNumber(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new PinsError(
    `--to ${text}: expected the number of a stack version, as \`switchyard history\` shows it`,
  );
}
