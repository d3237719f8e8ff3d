import * as pulumi from "@pulumi/pulumi";
import { Box } from "../components/box/box.ts";
import { systemOn } from "../components/box/driver.ts";
import { BoxLeg, type BoxLegArgs } from "../components/box/leg.ts";
import type { Location } from "../components/box/location.ts";
import { observeBox } from "../components/box/observe.ts";
import { bundleToolkit } from "../components/box/toolkit-bundle.ts";
import type { EdgeLeg, EdgeLegArgs } from "../components/edge/leg.ts";
import { type LegAddress, UnreachableError } from "../components/rollout/leg.ts";
import { driverOf } from "../components/rollout/legs/drivers.ts";
import type { TargetObservation } from "../components/rollout/observation.ts";
import type { Vault } from "../components/vault/vault.ts";
import type { EdgePlace } from "./config/edge.ts";
import type { StackConfig } from "./config/read.ts";
import { exampleRepository } from "./development.ts";
import { boxVault, clusterVault, type DatabaseSecrets } from "./vault.ts";

type EdgeArgs = Omit<EdgeLegArgs, keyof EdgePlace | "environment" | "observed" | "newReceipt"> & {
  readonly place: EdgePlace;
};

type BoxArgs = Omit<BoxLegArgs, "box" | "observed" | "before"> & {
  /** Secrets of the system's database; given, it is backed up into the environment's vault. */
  readonly backedUp?: DatabaseSecrets;
};

interface PreparedBox {
  readonly box: Box;
  readonly observe: (system: string) => Promise<TargetObservation | null>;
}

/**
 * Where the runbooks of one update meet their targets: each is asked once, before the first resource of its system, so
 * that the update can heal; a box that several systems share is prepared once.
 */
export class Site {
  readonly stack: StackConfig;
  /** Receipt for whatever has to run in this update. */
  readonly newReceipt = `r${Date.now().toString(36)}`;
  private readonly boxes = new Map<string, Promise<PreparedBox>>();
  private readonly example: pulumi.Resource[];
  private readonly vault: Vault | null;

  /** @param vault the environment's own, made in this update; null: it has none, or another's */
  constructor(stack: StackConfig, vault: Vault | null = null) {
    this.stack = stack;
    this.vault = vault;
    this.example = stack.environment === "development" ? [exampleRepository(".switchyard/example.git")] : [];
  }

  /** A leg on a box: the box is asked, and prepared where it is not; what is backed up has its vault there first. */
  async boxLeg(location: Location, { backedUp, ...args }: BoxArgs): Promise<BoxLeg> {
    const { box, observe } = await this.box(location);
    const { system } = args;
    const vault = backedUp ? boxVault(this.stack, this.vault, { system, box, secrets: backedUp }) : null;
    return new BoxLeg({ ...args, box, observed: await observe(system), before: vault ? [vault] : [] });
  }

  /** A leg on the edge; in development on this machine. */
  async edgeLeg({ place, ...args }: EdgeArgs): Promise<EdgeLeg> {
    const { environment } = this.stack;
    const { EdgeLeg } = await import("../components/edge/leg.ts");
    const observed = await this.observe(place.address);
    return new EdgeLeg({ ...args, ...place, environment, observed, newReceipt: this.newReceipt });
  }

  /** What of the environment's vault is on a system's cluster; null where it has none. */
  clusterVault(args: Parameters<typeof clusterVault>[2]): ReturnType<typeof clusterVault> {
    return clusterVault(this.stack, this.vault, args);
  }

  /** Box of a location; the same one for every system that names it. */
  box(location: Location): Promise<PreparedBox> {
    const key = location === "local" ? "local" : `${location.host}:${location.port}`;
    const known = this.boxes.get(key);
    if (known) return known;
    const prepared = this.prepareBox(location);
    this.boxes.set(key, prepared);
    return prepared;
  }

  /** What a target says before anything is decided; null where it gives no answer, in a preview. */
  observe(address: LegAddress): Promise<TargetObservation | null> {
    return answer(async () => (await driverOf(address)).observe());
  }

  private async prepareBox(location: Location): Promise<PreparedBox> {
    const [observed, toolkit] = await Promise.all([
      answer(() => observeBox(location)),
      location === "local" ? null : bundleToolkit(),
    ]);
    const name = `box-${location === "local" ? "local" : location.host}`;
    const args = { location, observed, toolkit, newReceipt: this.newReceipt };
    const box = new Box(name, args, { dependsOn: location === "local" ? this.example : [] });
    const observe = async (system: string) =>
      observed === null ? null : answer(async () => systemOn(observed, system));
    return { box, observe };
  }
}

/** An unreachable target stops an update before anything changes; in a preview it is a note. */
async function answer<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof UnreachableError) || !pulumi.runtime.isDryRun()) throw error;
    await pulumi.log.warn(`${error.message}. This preview assumes that it is as the last update left it.`);
    return null;
  }
}
