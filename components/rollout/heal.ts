import type { CutoverState } from "./cutover/state.ts";

type Remembered = Pick<CutoverState, "confirmed" | "pending" | "stuck" | "receipt"> & {
  readonly intact: boolean;
};

/**
 * The receipt that a system's cutover carries. Where every target already serves what is wanted, and nothing is open,
 * it is the targets' own, so a no-op stays a no-op; else a new one, so that the cutover runs whatever the pins say:
 * after a kill between confirm and record, after a flip, after a failed bake, on a lost box, where a process has gone,
 * where one leg of several was confirmed and the next was not.
 */
export function cutoverReceipt(wanted: string, legs: readonly Remembered[], newReceipt: string): string {
  const [first] = legs;
  const settled = legs.every(
    ({ confirmed, pending, stuck, intact, receipt }) =>
      confirmed === wanted && pending === null && stuck === null && intact && receipt === first?.receipt,
  );
  return settled && first?.receipt ? first.receipt : newReceipt;
}
