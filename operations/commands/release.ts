import { type Command, InvalidArgumentError } from "commander";
import { claim, deploy } from "../deploy.ts";
import { type ReleaseRequest, release, releasedText } from "../releasing.ts";
import { exit, record } from "../session.ts";
import { allowBad, type CommonOptions, type Define } from "./shape.ts";

/** What a release is given beside its system and its version. */
export type ReleaseOptions = Omit<ReleaseRequest, "system" | "version">;

type Options = CommonOptions & ReleaseOptions & { readonly up?: boolean };

/** The options of a command that makes a release. */
export function ofRelease(command: Command): Command {
  return command
    .option("--sha256 <hex>", "of the artifact, where the source is one")
    .option("--image <service=image>", "image of a service, once for each: backend=sha256:…", named)
    .option("--artifact <leg=sha256>", "checksum of what a leg gets beside the source: edge=…", named)
    .option("--schema <json>", "which schema it needs and provides, and how its migration changes it");
}

export const releaseCommand: Define = (program, run) => {
  ofRelease(program.command("release <system> <version>"))
    .description("freeze a version with today's settings and make it live in the pins (then: switchyard up)")
    .option("--up", "bring it up at once")
    .option(...allowBad)
    .option(
      "--again",
      "another release of a version that is there already, to take up changed settings or program",
    )
    .action((system: string, version: string, { up, ...options }: Options) =>
      run(options, async (session) => {
        const began = Date.now();
        const before = await claim(session);
        const { file, changes } = await release(session, before, [{ ...options, system, version }]);
        for (const change of changes) {
          session.voice.line(releasedText(change));
          session.voice.emit("release", { system, release: change.release, changed: change.changed });
        }
        if (up)
          return deploy(session, file, { message: `release ${system} ${version}`, before: before.pins });
        session.voice.line(`next: switchyard up --stack ${session.stack}`);
        await record(session, file, "succeeded", began);
        return exit.ok;
      }),
    );
};

/** Gathers `name=value` options. */
function named(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const [, name, value] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError("Expected <name>=<value>.");
  return { ...before, [name]: value };
}
