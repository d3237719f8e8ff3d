import type { TargetObservation } from "./observation.ts";

/**
 * The receipt that a system's cutover carries. Where the target already serves what is wanted, and nothing is open,
 * it is the target's own, so a no-op stays a no-op; else a new one, so that the cutover runs whatever the pins say:
 * after a kill between confirm and record, after a flip, after a failed bake, on a lost box.
 */
export function cutoverReceipt(wanted: string, observed: TargetObservation, newReceipt: string): string {
  const { confirmed, pending, stuck, receipt, doors } = observed;
  const led = doors.every(({ fingerprint }) => fingerprint === null || fingerprint === wanted);
  const settled = confirmed === wanted && pending === null && stuck === null && led;
  return settled && receipt !== null ? receipt : newReceipt;
}
