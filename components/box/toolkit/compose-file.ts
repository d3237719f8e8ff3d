import type { PlacedRelease, ServiceManifest } from "../../rollout/manifest.ts";

/** A compose service and where the box expects it. */
export interface ComposedService extends ServiceManifest {
  readonly compose: NonNullable<ServiceManifest["compose"]>;
}

export function composed({ manifest }: Pick<PlacedRelease, "manifest">): ComposedService[] {
  return manifest.services.filter(isComposed);
}

export function isComposed(service: ServiceManifest): service is ComposedService {
  return service.compose !== undefined;
}

/** A compose project per release (POD-3): two releases never share a container, a network or a name. */
export function projectName({ manifest, fingerprint }: PlacedRelease): string {
  return `${manifest.system}-${fingerprint}`;
}

/** Seconds a container gets to end by itself: its client has to outlast it within the unit's own limit. */
export function graceSeconds({ stopSeconds }: ServiceManifest): number {
  return Math.max(1, stopSeconds - 2);
}

/**
 * The compose file of a release: a pure function of its manifest and of the ports that the box allotted. Settings and
 * secrets are named only: the engine's client passes their values on from its own environment, byte for byte, so that
 * they stand in the release's environment file (0600) and nowhere else.
 *
 * @param names of each service's environment variables
 */
export function composeFile(
  release: PlacedRelease,
  ports: Readonly<Record<string, number>>,
  names: (service: ComposedService) => readonly string[],
): string {
  const { system, release: name } = release.manifest;
  const services = composed(release).map((service) =>
    serviceText(service, ports[service.name] ?? 0, names(service)),
  );
  return `# ${system} ${name.replace(/[^\x20-\x7e]/g, "")} (${release.fingerprint}), as its manifest renders it; a change here is lost.
services:
${services.join("")}`;
}

function serviceText(service: ComposedService, port: number, names: readonly string[]): string {
  const { compose, command } = service;
  const passed = names.filter((name) => name !== "HOST" && name !== "PORT");
  // It listens in a network of its own, where only what `ports` says can be reached from outside.
  const environment = [...passed, "HOST=0.0.0.0", `PORT=${compose.port}`];
  return `  ${text(service.name)}:
    image: ${text(compose.image)}
${command.length > 0 ? `    command: ${list(command)}\n` : ""}    environment: ${list(environment)}
    ports: ${list([`127.0.0.1:${port}:${compose.port}`])}
    extra_hosts: ["host.docker.internal:host-gateway"]
    init: true
    restart: "no"
    stop_grace_period: ${graceSeconds(service)}s
    cap_drop: ["ALL"]
    security_opt: ["no-new-privileges:true"]
${compose.memoryMebibytes === undefined ? "" : `    mem_limit: ${compose.memoryMebibytes}m\n`}    logging:
      driver: json-file
      options: { max-size: 10m, max-file: "3" }
`;
}

const list = (values: readonly string[]) => `[${values.map(text).join(", ")}]`;

/** A YAML string; every JSON string is one. A `$` would be taken for a variable of the engine's own. */
function text(value: string): string {
  return JSON.stringify(value.replaceAll("$", "$$$$"));
}
