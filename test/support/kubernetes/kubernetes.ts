import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterPolicy } from "../../../components/cluster/policy.ts";
import type { RecorderWorld } from "../recorder/world.ts";
import { Api } from "./api.ts";
import { Jobs } from "./jobs.ts";
import { type KubernetesObject, Objects, type Place } from "./objects.ts";
import type { Play } from "./pods.ts";
import { Running } from "./running.ts";

export interface KubernetesArgs {
  /** Contexts of the kubeconfig, each with the stack whose cluster it is; the first is the current one. */
  readonly contexts: Readonly<Record<string, string>>;
  /** As `policy` of the class; what is not given stays as it is there. */
  readonly policy?: Partial<ClusterPolicy>;
}

/**
 * Kubernetes beside a recorded world: the recorder knows which objects the engine has made; this answers for them,
 * keeps what the program's verbs change, and plays what a cluster would run: pods, Services, Jobs. The baker in its Job
 * is the real one. `environment` leads programs here.
 */
export class Kubernetes {
  /** Every move of a stable Service, oldest first: `traider-backend → v2`; "nothing" where it leads nowhere any more. */
  readonly moves: string[] = [];
  /** The moves, and between them migrations' Jobs (`job backup v2`) and singletons (`traider-worker v1 ended`). */
  readonly events: string[] = [];
  /**
   * What bakers that start from now on take in the place of their policy's own: in production a first bake is never
   * shorter than its longest window, which is five minutes for TRAIDER.
   */
  policy: Partial<ClusterPolicy> = {
    bakeSeconds: 3,
    shortBakeSeconds: 1,
    scrapeSeconds: 0.5,
    probesPerSecond: 40,
  };
  private readonly contexts: KubernetesArgs["contexts"];
  private readonly kubeconfig: string;
  private readonly objects: Objects;
  private readonly running: Running;
  private readonly jobs: Jobs;
  private readonly api: Api;
  private readonly sick = new Map<string, Play>();
  private failing: readonly { readonly match: string; readonly message: string }[] = [];

  static async start(world: RecorderWorld, args: KubernetesArgs): Promise<Kubernetes> {
    const kubernetes = new Kubernetes(world, args);
    await kubernetes.api.listen();
    kubernetes.writeKubeconfig();
    return kubernetes;
  }

  private constructor(world: RecorderWorld, { contexts, policy }: KubernetesArgs) {
    this.contexts = contexts;
    this.policy = { ...this.policy, ...policy };
    this.kubeconfig = join(world.folder, "kubeconfig");
    this.objects = new Objects(world);
    const { objects } = this;
    const said = (what: string) => {
      this.events.push(what);
    };
    const stacks = [...new Set(Object.values(contexts))];
    this.running = new Running({ objects, stacks, playOf: (release) => this.sick.get(release), said });
    this.jobs = new Jobs({
      objects,
      port: () => this.api.port,
      policy: () => this.policy,
      failureOf: (name) => this.failing.find(({ match }) => name.includes(match))?.message ?? null,
      said,
    });
    const moved = (service: string, release: string | null) => {
      const move = `${service} → ${release ?? "nothing"}`;
      this.moves.push(move);
      said(move);
    };
    this.api = new Api({ contexts, objects, running: this.running, jobs: this.jobs, moved });
  }

  /** Of the engine that is to come here. */
  get environment(): Record<string, string> {
    return { KUBECONFIG: this.kubeconfig };
  }

  /**
   * For gates that ask Services by name, http://<service>.<namespace>.<context>.svc: this is the proxy for whatever is
   * not 127.0.0.1, and every other name leads nowhere.
   */
  get names(): Record<string, string> {
    const proxy = `http://127.0.0.1:${this.api.port}`;
    return { HTTP_PROXY: proxy, NO_PROXY: "127.0.0.1,localhost", NODE_USE_ENV_PROXY: "1" };
  }

  /** From here on the release's pods answer so; the kubelet's readiness probe asks them too, and bakes read /metrics. */
  sicken(release: string, play: Play): void {
    this.sick.set(release, play);
  }

  /** Migrations' Jobs whose name (`backup v2`, `apply v2`, `verify v2`, `revert v2`) has that in it fail. */
  failJob(match: string, message = `the test says no to ${match}`): void {
    this.failing = [...this.failing, { match, message }];
  }

  heal(): void {
    this.sick.clear();
    this.failing = [];
  }

  /** The release that a Service leads to; null where it leads nowhere. */
  serving(context: string, namespace: string, service: string): string | null {
    const place = this.placeOf(context, namespace);
    return this.api.releaseOf(place, this.objects.require("Service", place, service));
  }

  /** Where a Service answers. @throws where there is none */
  async origin(context: string, namespace: string, service: string): Promise<string> {
    const door = await this.api.door(`${service}.${namespace}.${context}.svc`);
    if (door) return door.origin;
    throw new Error(`${context} has no Service ${service} in ${namespace}`);
  }

  /** How many pods there are, those that end left out, by service and release: `backend v1` is 3. */
  async pods(context: string): Promise<Record<string, number>> {
    await this.running.settle();
    const counts: Record<string, number> = {};
    for (const { service, release, ending } of this.running.podsOf(this.placeOf(context, "").stack)) {
      if (!ending) counts[`${service} ${release}`] = (counts[`${service} ${release}`] ?? 0) + 1;
    }
    return counts;
  }

  /** An object as the API gives it; undefined where there is none. */
  object(context: string, namespace: string, kind: string, name: string): KubernetesObject | undefined {
    return this.objects.find(kind, this.placeOf(context, namespace), name);
  }

  async stop(): Promise<void> {
    await this.jobs.stop();
    await this.api.close();
    await this.running.stop();
  }

  private placeOf(context: string, namespace: string): Place {
    const stack = this.contexts[context];
    if (stack !== undefined) return { stack, namespace };
    throw new Error(`there is no context ${context}; there are: ${Object.keys(this.contexts).join(", ")}`);
  }

  /** JSON is YAML. A context's token is its name. */
  private writeKubeconfig(): void {
    const names = Object.keys(this.contexts);
    const cluster = { server: `http://127.0.0.1:${this.api.port}`, "insecure-skip-tls-verify": true };
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: names.map((name) => ({ name, cluster })),
      users: names.map((name) => ({ name, user: { token: name } })),
      contexts: names.map((name) => ({ name, context: { cluster: name, user: name } })),
      "current-context": names[0],
    };
    writeFileSync(this.kubeconfig, JSON.stringify(config), { mode: 0o600 });
  }
}
