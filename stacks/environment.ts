import * as pulumi from "@pulumi/pulumi";
import { Box } from "../components/box/box.ts";
import { UnreachableError } from "../components/box/location.ts";
import { observeBox } from "../components/box/observe.ts";
import { bundleToolkit } from "../components/box/toolkit-bundle.ts";
import { untouched } from "../components/rollout/cutover/state.ts";
import { chrono } from "./chrono.ts";
import type { StackConfig } from "./config/read.ts";
import { exampleRepository } from "./development.ts";

/** An environment is a stack: every system on its targets. Targets are asked first, so that the update can heal. */
export async function environment(stack: StackConfig) {
  const newReceipt = `r${Date.now().toString(36)}`;
  const location = stack.chrono.box;
  const [observed, toolkit] = await Promise.all([
    observe(() => observeBox(location)),
    location === "local" ? null : bundleToolkit(),
  ]);
  const { source } = stack.chrono;
  const example = location === "local" && "git" in source ? [exampleRepository(source.git)] : [];
  const box = new Box("chrono-box", { location, observed, toolkit, newReceipt }, { dependsOn: example });
  return {
    chrono: chrono({ stack, box, observed: systemOf(observed, "chrono"), newReceipt }),
  };
}

/** An unreachable target stops an update before anything changes; in a preview it is a note. */
async function observe<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof UnreachableError) || !pulumi.runtime.isDryRun()) throw error;
    await pulumi.log.warn(`${error.message}. This preview assumes that it is as the last update left it.`);
    return null;
  }
}

function systemOf(observed: Awaited<ReturnType<typeof observeBox>> | null, system: string) {
  if (observed === null) return null;
  return observed.systems[system] ?? { ...untouched, running: false, intact: false, known: [], doors: [] };
}
