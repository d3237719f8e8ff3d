import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { edgeDriver } from "../../../components/edge/driver.ts";
import { EdgeLeg } from "../../../components/edge/leg.ts";
import type { EdgeManifest } from "../../../components/edge/manifest.ts";
import { chronoRules } from "../../../components/gates/tables.ts";
import type { EnvironmentName } from "../../../components/rollout/environment.ts";
import { secretRevisions } from "../../../components/rollout/fingerprint.ts";
import { resolveReleases } from "../../../components/rollout/releases.ts";
import { Rollout } from "../../../components/rollout/rollout.ts";
import { buildExampleWorkers } from "../../../examples/worker/build.ts";
import { bakePolicy } from "../../../stacks/config/bake.ts";
import {
  addressOf,
  edgeContentOf,
  edge as edgeField,
  edgePlace,
  edgePolicy,
  edgeSha256,
} from "../../../stacks/config/edge.ts";
import type { ReleaseEntry } from "../../../stacks/config/fields.ts";
import type { Pins } from "../../../stacks/config/pins.ts";

/** One system with one leg on the edge, as a runbook would write it; trial.json in the checkout is its config. */
export interface Trial {
  readonly system: string;
  readonly environment: EnvironmentName;
  /** As the stack's file has it. */
  readonly edge: unknown;
  readonly door: number;
  readonly pins: Pins;
  readonly bakeSeconds: number;
  readonly steps: readonly { readonly percent: number; readonly seconds: number }[];
  readonly settings: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
  readonly oldSecretsWork: boolean;
  /** Static files only, without code. */
  readonly filesOnly: boolean;
}

const trial = JSON.parse(readFileSync("trial.json", "utf8")) as Trial;
const { system, environment, door, pins, secrets, filesOnly } = trial;
const edge = edgeField.parse(trial.edge);
const workers = ".switchyard/workers";
await buildExampleWorkers(workers);

const place = edgePlace(system, environment, edge, door);
const newReceipt = `r${Date.now().toString(36)}`;
const observed = await edgeDriver(place.address).observe();
const config = { seconds: trial.bakeSeconds, shortSeconds: 1, healthSeconds: 5 };
const policy = bakePolicy("development", { bake: config }, { rules: chronoRules, probes: ["/"] });

function render(name: string, entry: ReleaseEntry): EdgeManifest {
  const version = entry.version ?? name;
  return {
    environment,
    system,
    release: name,
    version,
    content: edgeContentOf({ folder: `${workers}/{version}` }, version, edgeSha256(entry)),
    main: filesOnly ? null : "worker.js",
    assets: { folder: filesOnly ? "site" : "static", notFound: "none" },
    compatibilityDate: "2026-07-01",
    compatibilityFlags: [],
    settings: trial.settings,
    secrets: secretRevisions(secrets, "key"),
    migrationTag: null,
    health: filesOnly ? "/" : "/health",
  };
}

const leg = new EdgeLeg({
  system,
  environment,
  ...place,
  observed,
  newReceipt,
  render,
  policy: { ...edgePolicy(edge, policy), steps: trial.steps, oldSecretsWork: trial.oldSecretsWork },
  secrets,
});
const releases = resolveReleases(system, pins, [leg], newReceipt);
new Rollout(system, { legs: [leg], releases, newReceipt });
export const front = pulumi.output(addressOf(place));
