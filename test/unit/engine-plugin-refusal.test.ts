import proto from "@pulumi/pulumi/proto/provider_pb.js";
import { afterEach, expect, test, vi } from "vitest";
import { commandService } from "../../engine/plugins/command/service.ts";
import { EngineLog } from "../../engine/plugins/protocol/log.ts";
import { RecorderWorld } from "../support/recorder/world.ts";

/** Which stacks the bundled `command` plugin runs anything in, and that nothing but the program around it decides that. */

afterEach(() => vi.unstubAllEnvs());

/** What the plugin says to the first thing that the engine asks of it in a stack; "" where it goes on. */
function said(stack: string, service = commandService(new EngineLog(undefined))): Promise<string> {
  const request = new proto.CheckRequest().setUrn(
    `urn:pulumi:${stack}::p::pulumi:providers:command::default`,
  );
  const checkConfig = service.checkConfig as unknown as (
    call: object,
    callback: (error: { details: string } | null) => void,
  ) => void;
  return new Promise((resolve) =>
    checkConfig({ request }, (error) => resolve(error === null ? "" : error.details)),
  );
}

test.each([
  "staging",
  "production",
])("refuses %s, also where a recorded test has said who it is", async (stack) => {
  const refusal = `the stack ${stack} needs Pulumi's own command plugin`;
  expect(await said(stack)).toContain(refusal);
  const world = new RecorderWorld();
  try {
    for (const [name, value] of Object.entries(world.environment)) vi.stubEnv(name, value);
    expect(await said(stack)).toContain(refusal);
  } finally {
    world.remove();
  }
});

test("runs in development; in a recorded world the test's own program runs in every stack", async () => {
  expect(await said("development")).toBe("");
  expect(await said("production", commandService(new EngineLog(undefined), []))).toBe("");
});
