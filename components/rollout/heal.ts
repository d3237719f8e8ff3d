import type { TargetObservation } from "./observation.ts";

/**
 * The receipt that a system's cutover carries. Where the target already serves what is wanted, and nothing is open,
 * it is the target's own, so a no-op stays a no-op; else a new one, so that the cutover runs whatever the pins say:
 * after a kill between confirm and record, after a flip, after a failed bake, on a lost box, where a process has gone.
 */
export function cutoverReceipt(wanted: string, observed: TargetObservation, newReceipt: string): string {
  const { confirmed, pending, stuck, receipt, intact } = observed;
  const settled = confirmed === wanted && pending === null && stuck === null && intact;
  return settled && receipt !== null ? receipt : newReceipt;
}
