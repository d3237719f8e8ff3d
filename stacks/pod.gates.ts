import * as pulumi from "@pulumi/pulumi";
import type { Box } from "../components/box/box.ts";
import type { ReleaseEvidence } from "../components/gates/evidence.ts";
import { Gate } from "../components/gates/gate.ts";
import type { GateSpec } from "../components/gates/gate-spec.ts";
import type { Release } from "../components/rollout/releases.ts";
import { edgePlace } from "./config/edge.ts";
import { podImages } from "./pod.config.ts";
import { apiOrigin, type PodStack } from "./pod.manifests.ts";

/** The gates around POD's rollout: what is asked before anything of a release is placed, and from outside after it. */

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

/** POD-7, from outside, through every front door. */
export function afterwards(stack: PodStack, release: Release, cutover: pulumi.Resource | null): Gate {
  const { pod: config } = stack;
  const { health, database, api, authentication, rateLimit } = config.smoke;
  const [origin, front] = [apiOrigin(config), frontOf(stack)];
  const patienceSeconds = 10;
  const checks = [
    { name: "health", url: `${origin}${health}`, patienceSeconds },
    ...(database ? [{ name: "database", url: `${origin}${database}`, patienceSeconds }] : []),
    { name: "API", url: `${origin}${api}`, patienceSeconds },
    { name: "frontend loads", url: `${front}/`, patienceSeconds },
    ...config.frontend.routes.map((route) => ({
      name: `route ${route}`,
      url: `${front}${route}`,
      patienceSeconds,
    })),
    { name: "API integration", url: `${origin}${api}`, headers: { origin: front }, patienceSeconds },
    ...(authentication ? [{ name: "authentication", url: `${origin}${authentication}`, status: 401 }] : []),
    // Last: whoever has been limited is answered nothing else for a while.
    ...(rateLimit
      ? [
          {
            name: "rate limiting",
            url: `${origin}${rateLimit.path}`,
            status: 429,
            within: rateLimit.requests,
          },
        ]
      : []),
  ];
  const spec: GateSpec = { gate: "http", name: gateName(release, "verified"), checks };
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
  (["evidence", "scan", "certificate", "database"] as const).find((kind) => kind === name) ?? "http";

const gateName = ({ name }: Release, what: string) => `pod-${name}-${what}`;

function imagesOf({ pod: config }: PodStack, { name }: Release): { api: string; mcp: string } {
  return podImages(config, name, config.releases[name] ?? {});
}

function frontOf({ environment, pod: config }: PodStack): string {
  return edgePlace("pod", environment, config.edge, config.frontend.port).front;
}
