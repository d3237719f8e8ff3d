import { rollbackToKept } from "../moves.ts";
import { PinsError, pinsOf } from "../pins.ts";
import { exit, observe, readPins, record, type Session } from "../session.ts";
import { type StackFile, writePins } from "../stackfile.ts";
import { confirmedRelease, isReachable } from "../targets.ts";
import { allowBad, type CommonOptions, type Define } from "./shape.ts";

type Options = CommonOptions & { readonly to?: string; readonly reason: string; readonly allowBad?: boolean };

export const flip: Define = (program, run) => {
  program
    .command("flip <system>")
    .description(
      "emergency: move traffic to a kept release on the target itself, without the engine and its lock",
    )
    .option("--to <release>", "name of the kept release; the first one by default")
    .option("--reason <text>", "left on the target and in the ledger", "flipped by hand")
    .option(...allowBad)
    .action((system: string, options: Options) =>
      run(options, async (session) => {
        const began = Date.now();
        const file = await readPins(session);
        if (options.to === undefined) await refuseToGuess(session, file, system);
        const change = rollbackToKept(file.pins, system, {
          allowBad: options.allowBad === true,
          ...(options.to === undefined ? {} : { to: options.to }),
        });
        const fingerprint =
          pinsOf(change.pins, system).releases[change.release]?.fingerprint ??
          placedAs((await observe(session, file))[system], change.release);
        if (fingerprint === undefined) {
          throw new PinsError(`${system} ${change.release} is not placed on its target: nothing was moved`);
        }
        const targets = await session.targets(session.stack, file.config);
        await targets.flip(system, fingerprint, { by: session.who, reason: options.reason });
        session.voice.line(
          `${system}: traffic goes to ${change.release} (${((Date.now() - began) / 1000).toFixed(1)} s)`,
        );
        const after = await writePins(file, change.pins);
        session.voice.line("The pins say so too; the next `switchyard up` records it in the stack.");
        session.voice.emit("result", { result: "flipped", system, release: change.release, fingerprint });
        await record(session, after, "succeeded", began);
        return exit.ok;
      }),
    );
};

/**
 * After a taking back that failed the pins name what is to serve and the target serves something else: the kept release
 * would then be one too far back.
 * @throws PinsError with the command of each release that may be meant
 */
async function refuseToGuess(session: Session, file: StackFile, system: string): Promise<void> {
  const { live, kept } = pinsOf(file.pins, system);
  const serves = confirmedRelease((await observe(session, file))[system]);
  if (serves === undefined || serves === live) return;
  const known = [...(live === null ? [] : [live]), ...kept];
  const commands = known.map((name) => `  switchyard flip ${system} --to ${name} --stack ${session.stack}`);
  throw new PinsError(
    [
      `${system} serves ${serves ?? "nothing"}, and the pins say ${live ?? "nothing"}: say where traffic is to go. Nothing was moved.`,
      ...commands,
    ].join("\n"),
  );
}

function placedAs(found: Parameters<typeof isReachable>[0], release: string): string | undefined {
  return isReachable(found) ? found.placed.find((each) => each.release === release)?.fingerprint : undefined;
}
