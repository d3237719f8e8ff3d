import { setTimeout as sleep } from "node:timers/promises";
import { exit, observe, readPins, record, type Session } from "../session.ts";
import type { StackFile } from "../stackfile.ts";
import { isReachable, type Observation, servingText, type Unreachable } from "../targets.ts";
import type { CommonOptions, Define } from "./shape.ts";

type Options = CommonOptions & { readonly reason: string };

/** Taking back takes seconds; over several legs one after the other. */
const settleSeconds = 60;

export const stop: Define = (program, run) => {
  program
    .command("stop <system>")
    .description("emergency: the release that bakes at this moment goes back at once; its update fails")
    .option("--reason <text>", "in the failure's record and in the ledger", "stopped by hand")
    .action((system: string, { reason, ...options }: Options) =>
      run(options, async (session) => {
        const began = Date.now();
        const file = await readPins(session);
        const targets = await session.targets(session.stack, file.config);
        await targets.stop(system, { by: session.who, reason });
        const found = await settled(session, file, system);
        const came = outcomeOf(found);
        const seconds = ((Date.now() - began) / 1000).toFixed(1);
        const serving = servingText(found);
        const { voice, stack } = session;
        if (came === "stopped") voice.line(`${system}: stopped, what serves: ${serving} (${seconds} s)`);
        else if (came === "late") {
          voice.error(
            `${system}: too late, the release was confirmed before the stop reached it; what serves: ${serving}; ` +
              `\`switchyard flip ${system} --stack ${stack}\` leaves it`,
          );
        } else {
          voice.error(
            `${system} is not back after ${seconds} s: ${serving}; \`switchyard recover --stack ${stack}\``,
          );
        }
        voice.emit("result", { result: came, system, serving });
        await record(session, file, ledgerResult[came], began);
        return exitCode[came];
      }),
    );
};

type Came = "stopped" | "late" | "stuck";
const ledgerResult = { stopped: "succeeded", late: "failed", stuck: "stuck" } as const;
const exitCode = { stopped: exit.ok, late: exit.failed, stuck: exit.stuck } as const;

/** A cutover that held leaves no failure on its target; one that was stopped always does. */
function outcomeOf(found: Observation | Unreachable | undefined): Came {
  if (!isReachable(found) || found.pending !== null) return "stuck";
  return found.lastFailure === null ? "late" : "stopped";
}

/** What the target says once nothing is open on it, or when the time is over. */
async function settled(
  session: Session,
  file: StackFile,
  system: string,
): Promise<Observation | Unreachable | undefined> {
  const deadline = performance.now() + settleSeconds * 1000;
  for (;;) {
    const found = (await observe(session, file))[system];
    if ((isReachable(found) && found.pending === null) || performance.now() > deadline) return found;
    await sleep(250);
  }
}
