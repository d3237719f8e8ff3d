import * as pulumi from "@pulumi/pulumi";
import type { Box } from "../components/box/box.ts";
import type { ReleaseEvidence } from "../components/gates/evidence.ts";
import { Gate } from "../components/gates/gate.ts";
import type { GateSpec } from "../components/gates/gate-spec.ts";
import type { OutsideCheck } from "../components/gates/outside.ts";
import type { Leg } from "../components/rollout/leg.ts";
import type { Release } from "../components/rollout/releases.ts";
import { edgePlace } from "./config/edge.ts";
import { type PodConfig, podImages } from "./pod.config.ts";
import { apiOrigin, type PodStack } from "./pod.manifests.ts";

/** What POD's releases are asked: before anything of one is placed, from outside once it serves, and whether it held. */

/**
 * Images scanned, certificates valid, database reached (POD-11); in production staging's word as well (POD-2). None of
 * it in development, where the database is often its developer's own, as a superuser; and nothing is asked of a release
 * that has served here: going back to one waits for no gate.
 */
export function beforehand(
  stack: PodStack,
  release: Release,
  { box, served }: { readonly box: Box; readonly served: boolean },
): pulumi.Resource[] {
  const { environment, pod: config } = stack;
  if (environment === "development") return [];
  const images = imagesOf(stack, release);
  const specs: Record<string, pulumi.Input<GateSpec>> = {};
  if (environment === "production") {
    specs.evidence = {
      gate: "evidence",
      ...{ name: gateName(release, "evidence"), served },
      ...{ stack: "staging", system: "pod", images, required: [gateName(release, "verified")] },
    };
  }
  if (config.scans.length > 0) {
    specs.scan = {
      gate: "scan",
      ...{ name: gateName(release, "scan"), served },
      scans: config.scans.map(({ name, command, subjects }) => ({
        ...{ name, command, key: "pod:scans" },
        ...(subjects === "images" ? { subjects: Object.values(images) } : {}),
      })),
    };
  }
  const hosts = [apiOrigin(config), frontOf(stack)].filter((origin) => origin.startsWith("https:"));
  if (hosts.length > 0) {
    specs.certificate = {
      gate: "certificate",
      ...{ name: gateName(release, "certificate"), served },
      hosts: hosts.map((origin) => ({ host: new URL(origin).hostname })),
    };
  }
  const passed = Object.entries(specs).map(([name, spec]) => gate(release, name, spec, []).passed);
  const { databaseUrl: url } = config.secrets;
  if (url === undefined) return passed;
  const spec: GateSpec = {
    gate: "database",
    ...{ name: gateName(release, "database"), served },
    ...{ url, key: "pod:databaseUrl", box: box.location },
  };
  // The box is asked by its toolkit, so it has to have one.
  return [...passed, gate(release, "database", pulumi.secret(spec), [box.ready]).passed];
}

/** POD-7, of the API: through the box's front door, once it serves. */
export function outsideApi({ smoke }: PodConfig): OutsideCheck[] {
  const { health, database, api, authentication, rateLimit } = smoke;
  const answers = (name: string, path: string) => ({ kind: "answers", name, url: `{api}${path}` }) as const;
  return [
    answers("health", health),
    ...(database ? [answers("database", database)] : []),
    answers("API", api),
    ...(authentication ? [{ ...answers("authentication", authentication), status: 401 }] : []),
    { kind: "logs", name: "logging", service: "api" },
    // Last: whoever has been limited is answered nothing else for a while.
    ...(rateLimit
      ? [{ ...answers("rate limiting", rateLimit.path), status: 429, within: rateLimit.requests }]
      : []),
  ];
}

export const outsideMcp: readonly OutsideCheck[] = [
  { kind: "answers", name: "health of the MCP server", url: "{mcp}/health" },
];

/** POD-7, of the last leg: the frontend, and what needs every leg; asked from the runner, as people ask. */
export function outsideFrontend(stack: PodStack): OutsideCheck[] {
  const { pod: config } = stack;
  const { health, api } = config.smoke;
  const [origin, front] = [apiOrigin(config), frontOf(stack)];
  const answers = (name: string, url: string) => ({ kind: "answers", name, url }) as const;
  return [
    answers("frontend loads", "{front}/"),
    ...config.frontend.routes.map((route) => answers(`route ${route}`, `{front}${route}`)),
    answers("public health of the API", `${origin}${health}`),
    { ...answers("API integration", `${origin}${api}`), headers: { origin: front } },
  ];
}

/**
 * The release's cutover has held on every leg, and with it the checks from outside: what is published, and what staging
 * says to production, rests on it.
 */
export function held(release: Release, legs: readonly Leg[], cutover: pulumi.Resource | null): Gate {
  const spec: GateSpec = {
    gate: "held",
    ...{ name: gateName(release, "verified"), fingerprint: release.fingerprint },
    legs: legs.map(({ name, address }) => ({ name, address })),
  };
  return gate(release, "verified", spec, cutover ? [cutover] : []);
}

/** What production asks staging for: that these very images served there and were found well from outside. */
export function evidenceOf(
  stack: PodStack,
  release: Release,
  { report }: Gate,
): pulumi.Output<ReleaseEvidence> {
  // Where `--target` or `--exclude` keeps a gate from running for the first time, it has said nothing.
  return report.apply((text: string | undefined): ReleaseEvidence => {
    const { gate = "", passed } = JSON.parse(text ?? "{}") as { gate?: string; passed?: string };
    const images = imagesOf(stack, release);
    return { release: release.name, images, passed: passed === undefined ? {} : { [gate]: passed } };
  });
}

function gate(
  release: Release,
  name: string,
  spec: pulumi.Input<GateSpec>,
  dependsOn: pulumi.Resource[],
): Gate {
  const [part] = release.parts;
  const frozen = release.parts.every((one) => one.frozen);
  const args = { kind: kindOf(name), spec, receipt: part?.receipt ?? "", frozen };
  return new Gate(`pod-${release.name}-${release.fingerprint}-${name}`, args, { dependsOn });
}

const kindOf = (name: string): GateSpec["gate"] =>
  (["evidence", "scan", "certificate", "database"] as const).find((kind) => kind === name) ?? "held";

const gateName = ({ name }: Release, what: string) => `pod-${name}-${what}`;

function imagesOf({ pod: config }: PodStack, { name }: Release): { api: string; mcp: string } {
  return podImages(config, name, config.releases[name] ?? {});
}

function frontOf({ environment, pod: config }: PodStack): string {
  return edgePlace("pod", environment, config.edge, config.frontend.port).front;
}
