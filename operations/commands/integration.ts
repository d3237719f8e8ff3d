import { scanGate } from "../../components/gates/scan.ts";
import { shortName, stackExists } from "../backend.ts";
import { claim, deploy } from "../deploy.ts";
import { destroyStack } from "../destroying.ts";
import { ask } from "../engine.ts";
import { type Pins, PinsError } from "../pins.ts";
import { type ReleaseRequest, release } from "../releasing.ts";
import { backendOf, type Exit, exit, readPins, record, type Session } from "../session.ts";
import { type StackFile, writePins } from "../stackfile.ts";
import { ofRelease, type ReleaseOptions } from "./release.ts";
import type { CommonOptions, Define } from "./shape.ts";

/**
 * TRD-1: the testing environment, gone after the run. What stands of a run that was killed goes first, so each begins
 * with nothing; whatever comes of it, nothing of it is left.
 */
export const integration: Define = (program, run) => {
  const command = program.command("integration <system> <version>");
  ofRelease(command)
    .description("deploy a version to the testing stack, run its integration tests there, destroy all of it")
    .action((system: string, version: string, { stack, ...options }: CommonOptions & ReleaseOptions) =>
      run({ ...options, stack: shortName(stack) === "testing" ? stack : "testing" }, (session) =>
        inTesting(session, { ...options, system, version }),
      ),
    );
};

async function inTesting(session: Session, request: ReleaseRequest): Promise<Exit> {
  const began = Date.now();
  const { system, version } = request;
  const file = await claim(session);
  const tests = testsOf(file, system);
  await requireStack(session);
  const clean = await emptied(session, file, "what an earlier run has left");
  if (clean === null) return exit.stuck;
  const code = await rehearse(session, clean, request, tests).catch((error: Error) => {
    session.voice.error(error.message);
    return session.signal.aborted ? exit.interrupted : exit.failed;
  });
  const left = await emptied(session, await readPins(session), `${system} ${version}`);
  if (left === null) return exit.stuck;
  const result = results.get(code) ?? "failed";
  await record(session, left, result, began);
  session.voice.line(`${system}: ${version} ${result} in testing, and nothing of it is left`);
  session.voice.emit("result", { result, system, version });
  return code;
}

const results = new Map<Exit, "succeeded" | "interrupted">([
  [exit.ok, "succeeded"],
  [exit.interrupted, "interrupted"],
]);

interface Tests {
  readonly command: readonly string[];
  readonly seconds?: number;
}

function testsOf({ path, config }: StackFile, system: string): Tests {
  const tests = config[`${system}:integration`] as Tests | undefined;
  if (Array.isArray(tests?.command)) return tests;
  throw new PinsError(
    `${path}: ${system}:integration.command is missing, the words of its integration tests. Nothing was changed.`,
  );
}

async function requireStack(session: Session): Promise<void> {
  const { stack } = session;
  if ((await stackExists(await backendOf(session), stack)) !== false) return;
  throw new PinsError(
    `there is no stack ${stack} yet: \`switchyard pulumi stack init ${stack}\`, then its secrets. Nothing was changed.`,
  );
}

/** The release serves, then its tests are asked about it: their words know its addresses as {backend}, {frontend}. */
async function rehearse(
  session: Session,
  file: StackFile,
  request: ReleaseRequest,
  { command, seconds = 1800 }: Tests,
): Promise<Exit> {
  const { system, version } = request;
  const { file: released } = await release(session, file, [request]);
  const code = await deploy(session, released, { message: `integration ${system} ${version}` });
  if (code !== exit.ok) return code;
  const words = ["stack", "output", "--json", "--stack", session.stack];
  const outputs = JSON.parse(await ask(await session.engine(), session.checkout, words)) as Record<
    string,
    Record<string, unknown>
  >;
  const filled = command.map((word) =>
    word.replaceAll(/\{(\w+)\}/g, (text, name: string) => `${outputs[system]?.[name] ?? text}`),
  );
  const name = "integration tests";
  const scan = { name, command: filled, seconds, key: `${system}:integration.command` };
  const { lines, evidence } = await scanGate({ name, scans: [scan] }, session.signal);
  const { runs } = evidence as { runs: readonly { summary: readonly string[] }[] };
  for (const line of runs.flatMap(({ summary }) => summary)) session.voice.line(`  ${line}`);
  const failed = lines.filter(({ state }) => state !== "held");
  for (const { rule, measured } of failed) session.voice.error(`${system}: ${rule}: ${measured}`);
  return failed.length === 0 ? exit.ok : exit.failed;
}

/** Nothing deployed, and no release in the pins; null where something could not be destroyed, and is said. */
async function emptied(session: Session, file: StackFile, what: string): Promise<StackFile | null> {
  // Not ended by the Ctrl-C that has ended the tests: what is not destroyed now stays.
  const { ok } = await destroyStack(session, file, `integration: destroys ${what}`);
  if (ok) return writePins(file, withoutReleases(file.pins));
  const { stack } = session;
  session.voice.error(
    `something of the ${stack} stack is left: \`switchyard destroy --stack ${stack} --yes\``,
  );
  session.voice.emit("result", { result: "stuck" });
  return null;
}

function withoutReleases(pins: Pins): Pins {
  const systems = Object.entries(pins);
  return Object.fromEntries(
    systems.map(([system, each]) => [system, { ...each, live: null, kept: [], releases: {} }]),
  );
}
