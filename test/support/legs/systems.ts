import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Document } from "yaml";
import type { CutoverState } from "../../../components/rollout/cutover/state.ts";
import { Checkout } from "../checkout.ts";
import { freePort } from "../free-port.ts";
import { byFile, byHeader, byPage, Observer } from "./observer.ts";

/** POD on its three legs and Chrono on its two, on this machine, on ports of their own. */
export class LeggedSystems {
  readonly checkout: Checkout;
  private readonly ports: readonly number[];

  static async start(systems: readonly ("pod" | "chrono")[]): Promise<LeggedSystems> {
    return new LeggedSystems(systems, await Promise.all(Array.from({ length: 6 }, freePort)));
  }

  private constructor(systems: readonly string[], ports: readonly number[]) {
    this.ports = ports;
    this.checkout = new Checkout({ systems, without: [] });
    const [api, mcp, frontend] = this.podPorts;
    const [gateway, dashboard, workers] = this.chronoPorts;
    this.checkout.editConfig((document) => {
      const set = (key: string, path: readonly string[], value: unknown) =>
        document.setIn(["config", key, ...path], value);
      if (systems.includes("pod")) {
        set("pod:api", ["port"], api);
        set("pod:mcp", ["port"], mcp);
        set("pod:frontend", ["port"], frontend);
      }
      if (systems.includes("chrono")) {
        set("chrono:services", ["api", "port"], gateway);
        set("chrono:services", ["dashboard", "port"], dashboard);
        set("chrono:workers", ["port"], workers);
      }
      for (const system of systems) {
        set(`${system}:settings`, [], { EXAMPLE_GREETING: "hello" });
        set(`${system}:bake`, [], { seconds: 2, shortSeconds: 1, healthSeconds: 10 });
      }
    });
  }

  /** API, MCP server, the frontend's page and its file. */
  watchPod(): Observer {
    const [api, mcp, frontend] = this.podPorts;
    return new Observer([byHeader(api), byHeader(mcp), byPage(frontend), byFile(frontend)]);
  }

  /** API, dashboard, Worker. */
  watchChrono(): Observer {
    return new Observer(this.chronoPorts.map(byHeader));
  }

  /** Chrono's doors, then POD's. */
  watchAll(): Observer {
    const [api, mcp, frontend] = this.podPorts;
    const pod = [byHeader(api), byHeader(mcp), byPage(frontend), byFile(frontend)];
    return new Observer([...this.chronoPorts.map(byHeader), ...pod]);
  }

  edit(edit: (document: Document) => void): void {
    this.checkout.editConfig(edit);
  }

  /** Makes a version live in the pins, and brings it up. */
  async release(system: string, version: string) {
    return this.checkout.switchyard("release", system, version, "--up");
  }

  /** Names in the place of the fingerprints that the pins hold; one that they do not hold is of `otherwise`. */
  named(system: string, seen: readonly string[], otherwise: string): string[] {
    const releases = this.checkout.readConfig()[`${system}:releases`] as Record<
      string,
      { fingerprint?: string }
    >;
    const names = new Map(Object.entries(releases).map(([name, { fingerprint }]) => [fingerprint, name]));
    return seen.map((one) => one.replaceAll(/\b[0-9a-f]{12}\b/g, (found) => names.get(found) ?? otherwise));
  }

  live(system: string): string {
    return this.checkout.readConfig()[`${system}:live`] as string;
  }

  /** POD's legs in the order in which each target last wrote down what it confirms. */
  podLegsByLastWrite(): string[] {
    const { workers } = JSON.parse(readFileSync(this.path("edge/local/memory.json"), "utf8")) as {
      workers: Record<string, { deployments: { created_on: string }[] }>;
    };
    const times = {
      box: statSync(this.cutoverFile("pod")).mtimeMs,
      cluster: statSync(this.cutoverFile("pod-cluster")).mtimeMs,
      edge: Date.parse(workers["pod-development"]?.deployments[0]?.created_on ?? ""),
    };
    return Object.entries(times)
      .sort(([, one], [, other]) => one - other)
      .map(([name]) => name);
  }

  /** No cutover is open on a system of the local box. */
  isSettled(system: string): boolean {
    return (JSON.parse(readFileSync(this.cutoverFile(system), "utf8")) as CutoverState).pending === null;
  }

  /** A file below the folder that holds the local targets. */
  path(file: string): string {
    return join(this.checkout.directory, ".switchyard", file);
  }

  async stop(): Promise<void> {
    await this.checkout.start(["components/box/switchyard-box.sh", "shutdown"]).ended;
    for (const system of ["pod", "chrono"]) {
      const address = {
        kind: "edge",
        system,
        accountId: "local",
        worker: `${system}-development`,
        api: "local",
      };
      const words = ["engine/node.sh", "components/edge/main.ts", "dismantle", system];
      await this.checkout.start(words, JSON.stringify({ address })).ended;
    }
    this.checkout.remove();
  }

  private cutoverFile(system: string): string {
    return this.path(`box/state/systems/${system}/cutover.json`);
  }

  private get podPorts(): readonly [number, number, number] {
    return this.ports.slice(0, 3) as unknown as [number, number, number];
  }

  private get chronoPorts(): readonly [number, number, number] {
    return this.ports.slice(3) as unknown as [number, number, number];
  }
}
