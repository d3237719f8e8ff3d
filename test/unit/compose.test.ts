import { describe, expect, it } from "vitest";
import { requireComposable } from "../../components/box/toolkit/compose.ts";
import { composeFile } from "../../components/box/toolkit/compose-file.ts";
import type { Unit } from "../../components/box/toolkit/host.ts";
import { LocalHost } from "../../components/box/toolkit/local-host.ts";
import { unitFile } from "../../components/box/toolkit/systemd-unit.ts";
import type { PlacedRelease, ServiceManifest } from "../../components/rollout/manifest.ts";

/** The texts of a compose project. What an engine and systemd make of them: test/box/pod-compose.test.ts. */

const image = `ghcr.io/pod-protocol/pod-api@sha256:${"a".repeat(64)}`;
const api: ServiceManifest = {
  ...{
    name: "api",
    kind: "serving",
    command: [],
    environment: { LOG: "info" },
    secrets: { DATABASE_URL: "r1" },
  },
  ...{ health: "/health", door: 8110, drainSeconds: 10, stopSeconds: 20 },
  compose: { image, port: 3000 },
};

function release(service: ServiceManifest): PlacedRelease {
  return {
    ...{ fingerprint: "7c1f2a9b0c1d", colour: "green" },
    manifest: {
      ...{ environment: "production", system: "pod", release: "v1", version: "v1" },
      ...{ source: { kind: "images" }, build: [], buildSeconds: 60, services: [service], checks: {} },
    },
  };
}

describe("a compose file", () => {
  const names = () => ["LOG", "DATABASE_URL", "HOST", "PORT", "RELEASE"];

  it("names the release's variables and holds no value of them", () => {
    expect(composeFile(release(api), { api: 20123 }, names)).toBe(
      `# pod v1 (7c1f2a9b0c1d), as its manifest renders it; a change here is lost.
services:
  "api":
    image: "${image}"
    environment: ["LOG", "DATABASE_URL", "RELEASE", "HOST=0.0.0.0", "PORT=3000"]
    ports: ["127.0.0.1:20123:3000"]
    extra_hosts: ["host.docker.internal:host-gateway"]
    init: true
    restart: "no"
    stop_grace_period: 18s
    cap_drop: ["ALL"]
    security_opt: ["no-new-privileges:true"]
    logging:
      driver: json-file
      options: { max-size: 10m, max-file: "3" }
`,
    );
  });

  it("takes a command literally, and a bound of memory", () => {
    const more = {
      ...api,
      command: ["sh", "-c", 'echo "$HOME"'],
      compose: { image, port: 3000, memoryMebibytes: 512 },
    };
    const text = composeFile(release(more), { api: 20123 }, names);
    expect(text).toContain(String.raw`    command: ["sh", "-c", "echo \"$$HOME\""]`);
    expect(text).toContain("    mem_limit: 512m\n");
  });

  it("of another release of the same service has another port and no name in common", () => {
    const other = { ...release(api), fingerprint: "000000000000" };
    expect(composeFile(other, { api: 20124 }, names)).toContain('"127.0.0.1:20124:3000"');
  });
});

describe("what no engine is asked to run", () => {
  it.each([
    "COMPOSE_FILE",
    "DOCKER_HOST",
    "PATH",
    "LD_PRELOAD",
    "CONTAINERS_CONF",
  ])("a service whose setting %s would steer the engine", async (name) => {
    const { manifest } = release({ ...api, environment: { [name]: "x" } });
    await expect(requireComposable(manifest)).rejects.toThrow(
      `api: ${name} would change what the compose engine does`,
    );
  });

  it("a singleton: its process must hold its own lock", async () => {
    const { manifest } = release({ ...api, kind: "singleton" });
    await expect(requireComposable(manifest)).rejects.toThrow("api is a singleton");
  });

  it("anything at all for a release without containers", async () => {
    const { compose: _, ...process } = api;
    await expect(requireComposable(release(process).manifest)).resolves.toBeUndefined();
  });
});

describe("the unit of a compose project", () => {
  const unit: Unit = {
    ...{ name: "pod-api-7c1f2a9b0c1d", description: "pod api v1", kind: "serving", lock: "pod-api" },
    command: ["/usr/bin/docker", "compose", "-p", "pod-7c1f", "-f", "/srv/compose.yaml", "up", "api"],
    directory: "/srv/switchyard/releases/pod-7c1f2a9b0c1d",
    environmentFile: "/srv/switchyard/releases/pod-7c1f2a9b0c1d/api.env",
    stopSeconds: 20,
    engine: { name: "docker", afterwards: ["/usr/bin/docker", "compose", "stop", "api"] },
  };
  const user = { name: "switchyard", home: "/srv/switchyard/home/switchyard" };

  it("of Docker: confined as ever, in the daemon's group, its containers stopped after every end", () => {
    const lines = unitFile(unit, user).split("\n");
    expect(lines).toContain("ExecStart=/usr/bin/docker compose -p pod-7c1f -f /srv/compose.yaml up api");
    expect(lines).toContain("ExecStopPost=/usr/bin/docker compose stop api");
    expect(lines).toContain("SupplementaryGroups=docker");
    expect(lines).toContain("User=switchyard");
    expect(lines).toContain("NoNewPrivileges=yes");
    expect(lines.find((line) => line.startsWith("After="))).toContain("docker.service");
  });

  it("of Podman: root's, as it makes the containers itself", () => {
    const lines = unitFile({ ...unit, engine: { ...unit.engine!, name: "podman" } }, user).split("\n");
    expect(lines).toContain("User=root");
    expect(lines).toContain("Delegate=yes");
    expect(lines).not.toContain("NoNewPrivileges=yes");
    expect(lines).not.toContain("SupplementaryGroups=docker");
  });

  it("is refused by the local box, which runs the service itself", async () => {
    const host = new LocalHost({ root: "/nonexistent", toolkit: [] });
    await expect(host.installUnit(unit)).rejects.toThrow("needs a Linux box with systemd");
  });
});
