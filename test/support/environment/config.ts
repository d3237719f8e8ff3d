import { readFileSync } from "node:fs";
import { parse } from "yaml";
import type { Rule } from "../../../components/gates/rules.ts";
import { answersOf, certificate, command as controller } from "../deia.ts";
import { repository } from "./machine.ts";

export type StackName = "staging" | "production";
export type Config = Record<string, unknown>;

/** Releases that every system has in the trial. */
export const releases = ["v1", "v2", "v3", "bad"] as const;
export type Release = (typeof releases)[number];

/** Tag of the example that a release is made of. */
export const tagOf = (release: Release) => (release === "bad" ? "broken" : release);

export interface Owned {
  /** Public host keys of the boxes, by system. */
  readonly hostKeys: Readonly<Record<"chrono" | "pod" | "deia", string>>;
  /** Images of POD's API, by release. */
  readonly podApi: Readonly<Record<string, string>>;
  readonly cloudflareApi: string;
  /** How many times as long as the document allows this machine may take to answer. */
  readonly slowness: number;
}

/**
 * In production a first bake lasts as long as its table's longest window: here every window is five seconds, long enough
 * for a machine that stands still for one of them. How fast it answers is its own matter: latencies are allowed
 * `slowness` times the document's. A process that is seconds old has yet to fill its memory, which may grow a hundred
 * times as fast.
 */
export function shortened(rule: Rule, slowness: number): Rule {
  const factor = { p95: slowness, p99: slowness, memoryGrowth: 100 }[rule.metric as string] ?? 1;
  return { ...rule, above: rule.above * factor, ...(rule.forSeconds ? { forSeconds: 5 } : {}) };
}

/** A stack's file as it is committed. */
export function committed(stack: StackName): Config {
  const path = new URL(`../../../Pulumi.${stack}.yaml`, import.meta.url);
  return (parse(readFileSync(path, "utf8")) as { config: Config }).config;
}

/**
 * The committed file, completed as its owner does it, and led to the example in the place of the five systems' own code.
 * Times are the test's.
 */
export function configOf(stack: StackName, owned: Owned): Config {
  const text = JSON.stringify(committed(stack)).replaceAll(/(?<![0-9a-f])0{32,64}(?![0-9a-f])/g, (zeros) =>
    "a".repeat(zeros.length),
  );
  const config = JSON.parse(text) as Config;
  const change = (key: string, more: object) => {
    config[key] = { ...(config[key] as object | undefined), ...more };
  };
  const { hostKeys, podApi, cloudflareApi: api, slowness } = owned;
  for (const [system, hostKey] of Object.entries(hostKeys)) change(`${system}:box`, { hostKey });
  for (const system of ["chrono", "pod"]) change(`${system}:edge`, { api });
  const example = {
    source: { git: repository },
    build: ["node build.mjs"],
    service: ["node", "dist/service.mjs"],
    // To tell 2 % from half a per cent takes 350 requests that all are well: a bake of production is not let off that.
    // Staging is: its bake only has to see a release that answers nothing but errors. A dozen front doors are asked at the
    // same time by a machine that also serves all of them.
    bake: {
      seconds: stack === "production" ? 24 : 3,
      shortSeconds: 1,
      healthSeconds: 30,
      probesPerSecond: 16,
    },
    workers: { folder: ".switchyard/workers/{version}" },
  };
  for (const system of ["chrono", "sanctum", "pod", "traider", "deia"]) {
    config[`${system}:bake`] = example.bake;
    config[`${system}:alerts`] = (config[`${system}:alerts`] as Rule[]).map((rule) =>
      shortened(rule, slowness),
    );
    config[`${system}:releases`] = Object.fromEntries(
      releases.map((name, index) => [
        name,
        {
          version: tagOf(name),
          colour: index % 2 === 0 ? "blue" : "green",
          ...imagesOf(system, name),
        },
      ]),
    );
  }
  for (const system of ["chrono", "deia"]) {
    config[`${system}:source`] = example.source;
    config[`${system}:build`] = example.build;
  }
  config["chrono:services"] = {
    api: { command: example.service },
    dashboard: { command: example.service },
    oracle: { command: ["env", "MODE=singleton", ...example.service] },
  };
  // The box knows no name of the document's.
  if (stack === "production") config["chrono:publicUrl"] = "http://127.0.0.1:8080";
  config["chrono:workers"] = { content: example.workers };
  if (stack === "staging") {
    config["sanctum:gates"] = { evidence: "run", targetRps: 6, loadSeconds: 3, soakMinutes: 0.1 };
  }
  change("pod:api", { repository: "ghcr.io/pod-protocol/pod-api" });
  config["pod:frontend"] = { content: example.workers, assets: "site" };
  config["pod:smoke"] = {
    database: "/health/db",
    authentication: "/api/private",
    rateLimit: { path: "/api/limited", requests: 50 },
  };
  config["pod:scans"] = [{ name: "image vulnerabilities", command: ["./scan.sh", "{subject}"] }];
  config["pod:packages"] = [];
  change("deia:controller", { command: controller });
  config["deia:maintenance"] = { journalSeconds: 1, drainSeconds: 15 };
  config["deia:checklist"] = {
    units: { postgres: "postgresql", ollama: "ollama", redis: "redis-server" },
    certificate,
  };
  config["deia:answers"] = Object.fromEntries(releases.map((name) => [name, answersOf()]));
  return config;

  function imagesOf(system: string, release: Release): object {
    const digest = (digits: string) => `sha256:${digits.repeat(64).slice(0, 64)}`;
    const one = `${releases.indexOf(release) + 1}`;
    if (system === "sanctum") {
      return {
        images: { auth: digest(`a${one}`), directory: digest(`b${one}`), messaging: digest(`c${one}`) },
      };
    }
    if (system === "traider") {
      const provides = release === "v3" ? 3 : 2;
      const schema = { provides, needs: 1, change: release === "v2" || release === "v3" ? "expand" : "none" };
      const images = {
        backend: digest(`d${one}`),
        frontend: digest(`e${one}`),
        migration: digest(`f${one}`),
      };
      return { images, schema };
    }
    if (system === "pod") return { images: { api: podApi[release], mcp: digest(`9${one}`) } };
    return {};
  }
}
