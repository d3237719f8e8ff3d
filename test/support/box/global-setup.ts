import { baseLayers, boxTools } from "./base.ts";
import { reasonNoBox } from "./reason.ts";

/** Before the first box test: builds the base where it is missing, which takes longer than any test may. */
export async function setup(): Promise<void> {
  if (reasonNoBox() !== null) return;
  await boxTools();
  await baseLayers("full");
}
