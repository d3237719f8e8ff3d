import type {
  ClusterManifest,
  ClusterRelease,
  ClusterService,
} from "../../../components/cluster/manifest.ts";
import type { ClusterPolicy } from "../../../components/cluster/policy.ts";

/** A small system on a cluster: two serving services and a singleton. */

const service = (name: string, more: Partial<ClusterService> = {}): ClusterService => ({
  name,
  kind: "serving",
  image: `registry.example/shop-${name}@sha256:${"a".repeat(64)}`,
  port: 8000,
  environment: { GREETING: "hello; $HOME 'quoted'\n" },
  secrets: {},
  health: "/health",
  checks: [],
  metrics: "/metrics",
  resources: { cpu: "500m", memory: "512Mi" },
  drainSeconds: 5,
  stopSeconds: 20,
  ...more,
});

export function manifestOf(release: string, more: Partial<ClusterManifest> = {}): ClusterManifest {
  return {
    environment: "production",
    system: "shop",
    release,
    version: release,
    namespace: "shop-prod",
    services: [
      service("api", { secrets: { TOKEN: "1f2e3d" } }),
      service("web", { port: 3000 }),
      service("worker", { kind: "singleton", drainSeconds: 0 }),
    ],
    ...more,
  };
}

export function releaseOf(
  release: string,
  fingerprint: string,
  colour: "blue" | "green" = "blue",
): ClusterRelease {
  return { fingerprint, colour, manifest: manifestOf(release) };
}

export const policy: ClusterPolicy = {
  rules: [{ metric: "healthFailures", above: 2, forSeconds: 0, decision: "rollback" }],
  bakeSeconds: 2,
  shortBakeSeconds: 1,
  scrapeSeconds: 0.2,
  healthSeconds: 3,
  probes: ["/"],
  probesPerSecond: 20,
  replicas: { api: 2, web: 2 },
};
