import { chrono } from "./chrono.ts";
import type { StackConfig, SystemName } from "./config/read.ts";
import { deia } from "./deia.ts";
import { exampleWorkers } from "./development.ts";
import { pod } from "./pod.ts";
import { sanctum } from "./sanctum.ts";
import { Site } from "./site.ts";
import { traider } from "./traider.ts";
import { makeVault } from "./vault.ts";

const runbooks = { chrono, sanctum, pod, traider, deia } as const;

/** An environment is a stack: every system on its targets. What each one answers is an output of the stack. */
export async function environment(stack: StackConfig): Promise<Partial<Record<SystemName, object>>> {
  if (stack.environment === "development") await exampleWorkers();
  const site = new Site(stack, await makeVault(stack));
  const outputs = stack.systems.map(async (system) => [system, await runbooks[system](site)] as const);
  return Object.fromEntries(await Promise.all(outputs));
}
