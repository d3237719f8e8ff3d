import { chrono } from "./chrono.ts";
import type { StackConfig } from "./config/read.ts";
import { Site } from "./site.ts";

/** An environment is a stack: every system on its targets. */
export async function environment(stack: StackConfig) {
  const site = new Site(stack);
  return { chrono: await chrono(site) };
}
