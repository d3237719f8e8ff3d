import { type Change, type Frozen, releaseVersion } from "./moves.ts";
import { PinsError, pinsOf } from "./pins.ts";
import { observe, type Session } from "./session.ts";
import { type StackFile, writePins } from "./stackfile.ts";
import { commitOfTag, type SourceConfig } from "./tag.ts";
import { confirmedRelease } from "./targets.ts";

export interface ReleaseRequest {
  readonly system: string;
  readonly version: string;
  readonly allowBad?: boolean;
  readonly again?: boolean;
  /** Sixty-four hex digits, for systems whose source is an artifact. */
  readonly sha256?: string;
  /** JSON: { folder, provides, needs, change }. */
  readonly schema?: string;
  /** Image of a service, by its name. */
  readonly image?: Readonly<Record<string, string>>;
  /** SHA-256 of what a leg gets beside the source, by the leg's name. */
  readonly artifact?: Readonly<Record<string, string>>;
}

/** Freezes versions with today's wanted settings and the commits that their tags name, and makes them live. */
export async function release(
  session: Session,
  file: StackFile,
  requests: readonly ReleaseRequest[],
): Promise<{ file: StackFile; changes: (Change & ReleaseRequest)[] }> {
  for (const { system } of requests) pinsOf(file.pins, system);
  const observed = requests.length === 0 ? {} : await observe(session, file);
  let pins = file.pins;
  const changes: (Change & ReleaseRequest)[] = [];
  for (const request of requests) {
    const frozen = await freeze(session, file, request);
    const serving = confirmedRelease(observed[request.system]) ?? undefined;
    const change = releaseVersion(pins, request.system, frozen, {
      allowBad: request.allowBad === true,
      again: request.again === true,
      ...(serving === undefined ? {} : { serving }),
    });
    pins = change.pins;
    changes.push({ ...request, ...change });
  }
  return { file: await writePins(file, pins), changes };
}

async function freeze(session: Session, file: StackFile, request: ReleaseRequest): Promise<Frozen> {
  const { system, version, sha256, schema, image: images, artifact: artifacts } = request;
  const source = file.config[`${system}:source`] as SourceConfig | undefined;
  const { settings } = pinsOf(file.pins, system);
  const environment = (await session.engine()).environment;
  const commit = source ? await commitOfTag(source, version, session.checkout, environment) : null;
  if (source && "artifact" in source && sha256 === undefined) {
    throw new PinsError(`${system} comes as an artifact: say --sha256 <64 hex digits> of ${version}`);
  }
  return {
    version,
    ...(commit === null ? {} : { commit }),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(images === undefined ? {} : { images }),
    ...(artifacts === undefined ? {} : { artifacts }),
    ...(settings === undefined ? {} : { settings }),
    ...(schema === undefined ? {} : { schema: parseSchema(schema) }),
  };
}

function parseSchema(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new PinsError(
      `--schema is not JSON: ${text}; say for example {"provides":2,"needs":1,"change":"expand"}`,
    );
  }
}

/** What a release did to the pins, in a line. */
export function releasedText({ system, version, release, changed, pins }: Change & ReleaseRequest): string {
  if (!changed) return `${system}: ${release} is live already; --again makes another release of ${version}`;
  const { kept } = pinsOf(pins, system);
  const named = release === version ? version : `${version} as ${release}`;
  return `${system}: ${named} is to be live${kept.length > 0 ? `, ${kept.join(", ")} kept` : ""}`;
}
