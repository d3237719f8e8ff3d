/** Runs a command on another host over SSH. */
import { constants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { Client, ClientChannel } from "ssh2";
import type { Log } from "../protocol/log.ts";
import type { Properties } from "../protocol/values.ts";
import { type Connection, dial } from "./connection.ts";
import { type PreviousOutput, previousOutput } from "./local.ts";
import { CommandOutput } from "./output.ts";
import type { Logging } from "./schema.ts";

/** Inputs of a remote command, without envelopes. */
export interface RemoteInputs {
  readonly connection: Connection;
  readonly stdin?: string;
  readonly logging?: Logging;
  readonly environment?: Readonly<Record<string, string>>;
  readonly addPreviousOutputInEnv?: boolean;
}

/**
 * Dials, sets the environment, runs `command` and waits for it.
 * @param signal aborting it ends the dialing; a command that runs is not touched, as with the vendor's
 * @throws naming the exit status, the command and all it printed; or that the host refused a variable
 */
export async function runRemotely(
  command: string,
  inputs: RemoteInputs,
  previous: PreviousOutput,
  log: Log,
  signal: AbortSignal,
): Promise<Properties> {
  const { client, lost, close } = await dial(inputs.connection, log, signal);
  const output = new CommandOutput(log, inputs.logging);
  try {
    const variables = [
      ...Object.entries(inputs.environment ?? {}).map(([name, value]) => ({ name, value, needed: true })),
      ...Object.entries(previousOutput(previous, inputs.addPreviousOutputInEnv)).map(([name, value]) => ({
        name,
        value,
        needed: false,
      })),
    ];
    const started = start(client, command, variables, log, (channel) =>
      finished(channel, inputs.stdin, output),
    );
    const running = await Promise.race([started, lost]);
    const broken = lost.catch((error: Error) => error.message);
    // A host may hang up right behind a command's end: an exit status counts; without one, why the line broke does.
    let failed = await Promise.race([running.ended, broken.then((why) => delay(100, why))]);
    if (failed === noStatus) failed = await Promise.race([broken, delay(100, noStatus)]);
    output.end();
    await log.flush();
    if (failed !== undefined) throw output.failure(failed, command);
    return output.results();
  } finally {
    close();
    await log.flush();
  }
}

interface Variable {
  readonly name: string;
  readonly value: string;
  /** A refusal is an error; else a warning. */
  readonly needed: boolean;
}

/** The parts of ssh2's inside that `start` holds on to; the library is pinned to one version for this. */
interface Inside {
  readonly _protocol: {
    env(channel: number, name: string, value: string, wantReply: boolean): void;
    exec(channel: number, command: string, wantReply: boolean): void;
  };
  readonly _chanMgr: {
    get(channel: number): { readonly _callbacks: ((refused: unknown) => void)[] } | undefined;
  };
}

/**
 * Opens a session and starts the command once the host has answered for every variable.
 * ssh2 sends variables without asking for an answer, and the command right behind them; a host that refuses one
 * would run the command without it. So its two requests are taken over here: each variable asks for an answer, and
 * the command goes out after the last.
 * @param follow listens to the channel; what it promises is handed on as `ended`
 */
function start(
  client: Client,
  command: string,
  variables: readonly Variable[],
  log: Log,
  follow: (channel: ClientChannel) => Promise<string | undefined>,
): Promise<{ readonly ended: Promise<string | undefined> }> {
  const { _protocol: protocol, _chanMgr: channels } = client as unknown as Inside;
  const sendVariable = protocol.env.bind(protocol);
  const sendCommand = protocol.exec.bind(protocol);
  return new Promise((resolve, reject) => {
    const answers: Promise<void>[] = [];
    protocol.env = (channel, name, value) => {
      const answer = new Promise<boolean>((answered) => {
        channels.get(channel)?._callbacks.push((refused) => answered(!refused));
      });
      const needed = variables.find((variable) => variable.name === name)?.needed ?? true;
      answers.push(answer.then((taken) => (taken ? undefined : refuse(name, needed, log))));
      sendVariable(channel, name, value, true);
    };
    protocol.exec = (channel, text) => {
      Promise.all(answers).then(() => sendCommand(channel, text, true), reject);
    };
    const env = Object.fromEntries(variables.map(({ name, value }) => [name, value]));
    client.exec(command, { env }, (error, channel) => {
      if (error) reject(new Error(`ssh: could not start the command: ${error.message}`));
      // At once: a quick command's whole output and its end may stand in the packet that said it began.
      else resolve({ ended: follow(channel) });
    });
  });
}

function refuse(name: string, needed: boolean, log: Log): void {
  log.line(
    needed ? "error" : "warning",
    `Unable to set '${name}': the SSH server must accept it (AcceptEnv in sshd_config). ` +
      "Or put it before the command, as in 'NAME=value command'.",
  );
  if (needed) {
    throw new Error(
      `could not set environment variable "${name}": ssh: setenv failed (AcceptEnv in the server's sshd_config)`,
    );
  }
}

const noStatus = "wait: remote command exited without exit status or exit signal";

/** @returns undefined when the command ended well, else why not */
function finished(
  channel: ClientChannel,
  stdin: string | undefined,
  output: CommandOutput,
): Promise<string | undefined> {
  channel.on("data", output.takeStdout);
  channel.stderr.on("data", output.takeStderr);
  // A command need not read what it is given.
  channel.on("error", () => undefined);
  channel.end(stdin ?? "");
  return new Promise((resolve) => {
    let reason: string | undefined = noStatus;
    channel.on("exit", (code: number | null, signal?: string) => {
      const by = signal?.replace(/^SIG/, "");
      if (code === 0) reason = undefined;
      else if (code !== null) reason = `Process exited with status ${code}`;
      else reason = `Process exited with status ${128 + numberOf(by)} from signal ${by}`;
    });
    channel.on("close", () => resolve(reason));
  });
}

function numberOf(signal: string | undefined): number {
  return constants.signals[`SIG${signal}` as NodeJS.Signals] ?? 0;
}
