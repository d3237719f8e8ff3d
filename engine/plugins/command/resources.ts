/** What each resource does on create, update and delete, and how each answers in a preview. */
import { randomBytes } from "node:crypto";
import type { Log } from "../protocol/log.ts";
import { equal, hasUnknown, type Properties, plainProperties, unknown } from "../protocol/values.ts";
import { copyToRemote, sourceHash } from "./copy.ts";
import { type LocalInputs, type PreviousOutput, runLocally } from "./local.ts";
import { type RemoteInputs, runRemotely } from "./remote.ts";

export interface Step {
  readonly type: string;
  readonly name: string;
  readonly preview: boolean;
  readonly log: Log;
  readonly signal: AbortSignal;
}

interface Lifecycle {
  readonly create?: string;
  readonly update?: string;
  readonly delete?: string;
}

/** Outputs are the inputs, enveloped as they came, and what the command left. */
export async function create(step: Step, inputs: Properties): Promise<{ id: string; outputs: Properties }> {
  const id = `${isCopy(step) ? "" : step.name}${randomBytes(4).toString("hex")}`;
  if (isCopy(step)) {
    if (!step.preview) await copy(step, inputs);
    return { id: step.preview ? "" : id, outputs: inputs };
  }
  if (step.preview) return { id, outputs: { ...inputs, stdout: unknown, stderr: unknown } };
  const command = (plainProperties(inputs) as Lifecycle).create;
  const left = command === undefined ? {} : await run(step, command, inputs, {});
  return { id, outputs: { ...inputs, stdout: "", stderr: "", ...left } };
}

/**
 * `update` where there is one, else `create` again, with today's inputs and the earlier output.
 * @param olds outputs of the last run
 */
export async function update(step: Step, olds: Properties, news: Properties): Promise<Properties> {
  if (isCopy(step)) {
    const moved = !equal(plainProperties(news).remotePath, plainProperties(olds).remotePath);
    if (!step.preview && (moved || sourceHash(news.source) !== sourceHash(olds.source))) {
      await copy(step, news);
    }
    return news;
  }
  const kept = Object.fromEntries(
    ["stdout", "stderr", "assets", "archive"].flatMap((name) =>
      olds[name] === undefined ? [] : [[name, olds[name]]],
    ),
  );
  if (step.preview) {
    const changed = Object.keys({ ...olds, ...news }).some(
      (key) => !(key in kept) && (hasUnknown(news[key]) || (key in olds && !equal(olds[key], news[key]))),
    );
    const outputs = Object.fromEntries(Object.keys(kept).map((name) => [name, unknown]));
    return { ...news, ...(changed ? outputs : kept) };
  }
  const commands = plainProperties(news) as Lifecycle;
  const command = commands.update ?? commands.create;
  const left = command === undefined ? {} : await run(step, command, news, olds);
  return { ...news, ...kept, ...left };
}

/** Runs the old state's `delete`, with its environment and connection. A copied file stays. */
export async function remove(step: Step, olds: Properties): Promise<void> {
  const command = (plainProperties(olds) as Lifecycle).delete;
  if (isCopy(step) || command === undefined) return;
  await run(step, command, olds, olds);
}

function isCopy(step: Step): boolean {
  return step.type === "command:remote:CopyToRemote";
}

function copy(step: Step, inputs: Properties): Promise<void> {
  const { connection, source, remotePath } = plainProperties(inputs);
  return copyToRemote(
    { connection, source, remotePath } as unknown as Parameters<typeof copyToRemote>[0],
    step.log,
    step.signal,
  );
}

function run(step: Step, command: string, inputs: Properties, olds: Properties): Promise<Properties> {
  const known = plainProperties(inputs) as unknown;
  const previous = plainProperties(olds) as PreviousOutput;
  return step.type === "command:local:Command"
    ? runLocally(command, known as LocalInputs, previous, step.log, step.signal)
    : runRemotely(command, known as RemoteInputs, previous, step.log, step.signal);
}
