import { shellCommand } from "../../components/box/quote.ts";

/** Commands that mend a config, written so that they can be pasted into a shell as they are. */

/** Steps to a value below a namespace: `["releases", "v1.5.0", "colour"]`. As text: plain steps with dots between. */
export type KeyPath = string | readonly (string | number)[];

/** How a key is mended. Without `value` it is for the reader to fill in, or is asked for where it is a secret. */
export interface Mend {
  /** @default the key of the problem */
  readonly at?: KeyPath;
  /** The value, or `{ shell }`: words that the shell makes it of. */
  readonly value?: string | { readonly shell: string };
  readonly secret?: boolean;
  /** Taken out; nothing is set. */
  readonly remove?: boolean;
}

/**
 * The key as Pulumi writes and reads it; a step with a dot in it is quoted, else it would be two.
 * @example `chrono:releases["v1.5.0"].colour`, `pod:packages[0].registry`
 */
export function formatKey(namespace: string, path: KeyPath): string {
  const [first = "", ...rest] = stepsOf(path);
  return `${namespace}:${first}${rest.map(formatStep).join("")}`;
}

function stepsOf(path: KeyPath): readonly (string | number)[] {
  return typeof path === "string" ? path.split(".") : path;
}

function formatStep(step: string | number): string {
  if (typeof step === "number") return `[${step}]`;
  return /^[A-Za-z_][\w-]*$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
}

/** @param stack always said: what is selected at this moment may be another one */
export function mendingCommand(stack: string, namespace: string, path: KeyPath, mend: Mend = {}): string {
  const at = mend.at ?? path;
  const flags = stepsOf(at).length > 1 ? ["--path"] : [];
  const key = formatKey(namespace, at);
  if (mend.remove) return shellCommand("pulumi", "config", "rm", "--stack", stack, ...flags, key);
  const secret = mend.secret ? ["--secret"] : [];
  const command = shellCommand("pulumi", "config", "set", "--stack", stack, ...secret, ...flags, key);
  const { value = mend.secret ? undefined : { shell: "<value>" } } = mend;
  if (value === undefined) return command;
  return `${command} ${typeof value === "string" ? shellCommand(value) : value.shell}`;
}
