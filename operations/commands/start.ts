import { existsSync } from "node:fs";
import { join } from "node:path";
import { stackExists } from "../backend.ts";
import { claim, deploy } from "../deploy.ts";
import { ask } from "../engine.ts";
import { PinsError } from "../pins.ts";
import { type ReleaseRequest, release, releasedText } from "../releasing.ts";
import { backendOf, exit, type Session } from "../session.ts";
import type { StackFile } from "../stackfile.ts";
import { allowBad, type CommonOptions, type Define } from "./shape.ts";

export const start: Define = (program, run) => {
  program
    .command("start [releases...]")
    .description("bring the development stack up on this machine; `chrono=v2` releases that version first")
    .option(...allowBad)
    .action((words: string[], options: CommonOptions & { allowBad?: boolean }) =>
      run(options, async (session) => {
        const requests = words.map((word) => requestFrom(word, options.allowBad === true));
        await ensureStack(session);
        const before = await claim(session);
        if (requests.length > 0) await ensureExample(session, before);
        const { file, changes } = await release(session, before, requests);
        for (const change of changes) session.voice.line(releasedText(change));
        const message = requests.length === 0 ? "start" : `start ${words.join(" ")}`;
        const code = await deploy(session, file, {
          message,
          before: before.pins,
          allowBad: options.allowBad === true,
        });
        if (code === exit.ok) for (const line of hints(Object.keys(file.pins))) session.voice.line(line);
        return code;
      }),
    );
};

function requestFrom(word: string, allowed: boolean): ReleaseRequest {
  const [, system, version] = /^([a-z][a-z0-9-]*)=(.+)$/.exec(word) ?? [];
  if (system && version) return { system, version, allowBad: allowed };
  throw new PinsError(`"${word}" is no release: say <system>=<version>, for example chrono=v2`);
}

/** The stack's first start: its state begins, its secrets are kept under the passphrase of the environment. */
async function ensureStack(session: Session): Promise<void> {
  const exists = await stackExists(await backendOf(session), session.stack);
  if (exists) return;
  const engine = await session.engine();
  const words = ["stack", "init", session.stack, "--secrets-provider", "passphrase", "--no-select"];
  await ask(engine, session.checkout, words).catch((error: Error) => {
    if (exists === false || !/already exists/.test(error.message)) throw error;
  });
}

/** What development deploys from is made by the program; a version asked for before the first update needs it now. */
async function ensureExample(session: Session, { config }: StackFile): Promise<void> {
  const sources = Object.entries(config).filter(([key]) => key.endsWith(":source"));
  for (const [, source] of sources) {
    const path = (source as { git?: string }).git;
    if (!path?.startsWith(".switchyard/") || existsSync(join(session.checkout, path, "HEAD"))) continue;
    const { createRepository } = await import("../../examples/service/repository.ts");
    await createRepository(join(session.checkout, path));
  }
}

function hints(systems: readonly string[]): string[] {
  const system = systems[0] ?? "chrono";
  return [
    "",
    `another release   npm start -- ${system}=v2`,
    "go back           npm run switchyard rollback",
    "what is live      npm run switchyard status",
  ];
}
