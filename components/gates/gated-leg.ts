import * as pulumi from "@pulumi/pulumi";
import type { CutoverContext, Leg, LegAddress, LegRelease, PlaceContext } from "../rollout/leg.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import type { ReleaseEvidence } from "./evidence.ts";
import { Gate } from "./gate.ts";
import type { GateKind, GateSpec } from "./gate-spec.ts";

export interface GateStep<Kind extends GateKind = GateKind> {
  /** Part of the resource's name. @example "load-1KiB" */
  readonly name: string;
  readonly kind: Kind;
  readonly spec: pulumi.Input<GateSpec>;
}

/** The gates of a release, in order. `served`: it has served a whole bake on its target; say so in each spec. */
export type GatesOf<Manifest extends object> = (
  release: LegRelease<Manifest>,
  served: boolean,
) => readonly GateStep[];

/**
 * A leg whose releases pass gates on the runner besides its own, once they are placed and before they serve: one after
 * the other, so that no gate measures another one's load.
 */
export class GatedLeg<Manifest extends object> implements Leg<Manifest> {
  readonly name: string;
  readonly address: LegAddress;
  readonly observed: TargetObservation<Manifest> | null;
  readonly render: Leg<Manifest>["render"];
  private readonly leg: Leg<Manifest>;
  private readonly gatesOf: GatesOf<Manifest>;
  private readonly reports = new Map<
    string,
    { readonly gate: string; readonly report: pulumi.Output<string> }[]
  >();

  constructor(leg: Leg<Manifest>, gatesOf: GatesOf<Manifest>) {
    this.leg = leg;
    this.gatesOf = gatesOf;
    this.name = leg.name;
    this.address = leg.address;
    this.observed = leg.observed;
    this.render = leg.render;
  }

  prepare(parent: pulumi.Resource): pulumi.Resource {
    return this.leg.prepare(parent);
  }

  /** Returns the last gate: what comes next waits for all of them. */
  place(release: LegRelease<Manifest>, context: PlaceContext): pulumi.Resource {
    const { parent, name } = context;
    const { receipt, frozen, fingerprint } = release;
    const served = this.observed?.baked.includes(fingerprint) ?? false;
    let last = this.leg.place(release, context);
    for (const step of this.gatesOf(release, served)) {
      const { kind, spec } = step;
      const opts = { parent, dependsOn: [last] };
      const gate = new Gate(`${name}-${step.name}`, { kind, spec, receipt, frozen }, opts);
      const reported = { gate: step.name, report: gate.report };
      this.reports.set(release.name, [...(this.reports.get(release.name) ?? []), reported]);
      last = gate.passed;
    }
    return last;
  }

  cutOver(live: LegRelease<Manifest>, context: CutoverContext): pulumi.Resource {
    return this.leg.cutOver(live, context);
  }

  /** For a stack's outputs: what another environment may take as proof, by the steps' names. Known once they passed. */
  evidenceOf(release: string, images: Readonly<Record<string, string>>): pulumi.Output<ReleaseEvidence> {
    return pulumi.all(this.reports.get(release) ?? []).apply((reports) => {
      const passed = reports.flatMap(({ gate, report }) => {
        const { passed: at } = JSON.parse(report) as { passed?: string };
        return at === undefined ? [] : [[gate, at] as const];
      });
      return { release, images, passed: Object.fromEntries(passed) };
    });
  }
}
