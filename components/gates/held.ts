import type { LegAddress } from "../rollout/leg.ts";
import { driverOf } from "../rollout/legs/drivers.ts";
import type { TargetObservation } from "../rollout/observation.ts";
import { type GateReport, holds } from "./gate-report.ts";

export interface HeldGateArgs {
  readonly name: string;
  readonly fingerprint: string;
  readonly legs: readonly { readonly name: string; readonly address: { readonly kind: string } }[];
}

type Observe = (
  address: LegAddress,
) => Promise<Pick<TargetObservation, "confirmed" | "pending" | "known" | "baked">>;

/**
 * A release's cutover has held: every target confirms it, or has seen it serve a whole bake. Checks from outside are a
 * part of the cutover, so what is confirmed has answered them.
 */
export async function heldGate(
  { name, fingerprint, legs }: HeldGateArgs,
  observe: Observe = async (address) => (await driverOf(address)).observe(),
): Promise<GateReport> {
  const lines = await Promise.all(
    legs.map(async (leg) => {
      const { confirmed, baked, known } = await observe(leg.address as LegAddress);
      const nameOf = (wanted: string) =>
        known.find((release) => release.fingerprint === wanted)?.release ?? wanted;
      const found = confirmed === null ? "nothing is confirmed" : `${nameOf(confirmed)} is confirmed`;
      const held = confirmed === fingerprint || baked.includes(fingerprint);
      const measured = held && confirmed !== fingerprint ? `${nameOf(fingerprint)} served here` : found;
      return holds(`cutover of ${leg.name}`, held, measured, `${nameOf(fingerprint)} is confirmed`);
    }),
  );
  return { gate: name, lines, evidence: { fingerprint, legs: legs.map((leg) => leg.name) } };
}
