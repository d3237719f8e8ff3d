import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { PlacedRelease, ReleaseManifest } from "../../rollout/manifest.ts";
import { type ComposeEngine, findEngine } from "./compose-engine.ts";
import { type ComposedService, composed, composeFile, graceSeconds, projectName } from "./compose-file.ts";
import { writeDurably } from "./durable.ts";
import type { Host, Unit } from "./host.ts";
import { type ReleaseRecord, readSecrets } from "./records.ts";
import { redactor } from "./redact.ts";
import { run } from "./run.ts";
import { environmentOf, releaseFolder, unitOf } from "./units.ts";

/**
 * Services that are containers (POD-3): the compose engine runs in the foreground as the process of an ordinary unit, so
 * that everything that holds for a process holds for them: port, door, journal, restart, drain, removal.
 */

const pullSeconds = 1800;

/** Variables that would change what the engine itself does, where the engine's client gets them too. */
const engineVariables = /^((COMPOSE|DOCKER|BUILDKIT|BUILDAH|PODMAN|CONTAINERS?)_.*|LD_.*|PATH|HOME|SHELL)$/;

/** @throws before anything has changed, where a release's containers could not run on this box */
export async function requireComposable(manifest: ReleaseManifest): Promise<void> {
  const services = composed({ manifest });
  if (services.length === 0) return;
  for (const service of services) {
    if (service.kind !== "serving") {
      throw new Error(
        `${service.name} is a singleton: its process must hold its own lock, a container cannot`,
      );
    }
    const names = [...Object.keys(service.environment), ...Object.keys(service.secrets)];
    const bad = names.filter((name) => engineVariables.test(name));
    if (bad.length === 0) continue;
    throw new Error(
      `${service.name}: ${bad.join(", ")} would change what the compose engine does, not only its container: ` +
        "give the setting another name",
    );
  }
  await findEngine();
}

/** Writes the release's compose file and fetches its images. */
export async function prepareCompose(host: Host, release: ReleaseRecord): Promise<void> {
  if (composed(release).length === 0) return;
  const engine = await findEngine();
  await mkdir(releaseFolder(host, release), { recursive: true, mode: 0o755 });
  await chmod(releaseFolder(host, release), 0o755);
  const secrets = await readSecrets(host, release);
  const names = (service: ComposedService) => Object.keys(environmentOf(host, release, service, secrets));
  await writeDurably(composePath(host, release), composeFile(release, release.ports, names), 0o644);
  // Its unit's user reads it, whatever the toolkit's umask is; it names values and holds none.
  await chmod(composePath(host, release), 0o644);
  const pulled = await run([...words(engine, host, release), "pull"], { seconds: pullSeconds });
  if (pulled.code === 0) return;
  throw new Error(`the images of ${release.manifest.release} cannot be had: ${lastLines(pulled.stderr)}`);
}

/** The unit of a service in a container: the engine in the foreground, and its containers stopped after it. */
export async function composeUnit(
  host: Host,
  release: ReleaseRecord,
  service: ComposedService,
): Promise<Unit> {
  const engine = await findEngine();
  const project = words(engine, host, release);
  return {
    ...unitOf(host, release, service),
    directory: releaseFolder(host, release),
    command: [...project, "up", "--no-build", "--no-color", "--abort-on-container-exit", service.name],
    engine: {
      name: engine.name,
      afterwards: [...project, "stop", "--timeout", String(graceSeconds(service)), service.name],
    },
  };
}

/** Runs a command in a container of the service's image, with the service's environment; @returns what it printed */
export async function runInImage(
  host: Host,
  release: ReleaseRecord,
  service: ComposedService,
  command: readonly string[],
  seconds: number,
): Promise<string> {
  const secrets = await readSecrets(host, release);
  const engine = await findEngine();
  const once = ["run", "--rm", "--no-deps", "-T", service.name, ...command];
  const env = environmentOf(host, release, service, secrets);
  const { code, stdout, stderr } = await run([...words(engine, host, release), ...once], { seconds, env });
  const printed = redactor(Object.values(secrets))(lastLines(`${stdout}\n${stderr}`));
  if (code === 0) return printed;
  throw new Error(`\`${command.join(" ")}\` in ${service.compose.image} exited ${code}:\n${printed}`);
}

/** Takes a release's containers and network away, once its units are gone. */
export async function removeProject(host: Host, release: ReleaseRecord): Promise<void> {
  if (composed(release).length === 0 || !release.done.preflight) return;
  const engine = await findEngine();
  const file = composePath(host, release);
  const { code, stderr } = await run([...words(engine, host, release), "down", "--timeout", "10"], {
    seconds: 120,
  });
  if (code !== 0) throw new Error(`${file}: its project could not be removed: ${lastLines(stderr)}`);
}

function composePath(host: Host, release: PlacedRelease): string {
  return join(releaseFolder(host, release), "compose.yaml");
}

function words(engine: ComposeEngine, host: Host, release: PlacedRelease): string[] {
  return [...engine.words, "-p", projectName(release), "-f", composePath(host, release)];
}

const lastLines = (text: string) => text.trim().split("\n").slice(-15).join("\n");
