import { setTimeout as pause } from "node:timers/promises";
import { until } from "../box/processes.ts";

/** A door of a system: which release answers there now, in whatever way its answers say so. */
export type Door = () => Promise<string>;

/**
 * Looks at all doors of a system from outside, round and round. What counts as seen is what two rounds in a row found:
 * every door answered so before the second one began and after the first one ended, hence all of them at once between.
 */
export class Observer {
  /** What was seen, each as the doors' answers in their order; what did not change is there once. */
  readonly seen: string[] = [];
  private readonly doors: readonly Door[];
  private readonly loop: Promise<void>;
  private stopped = false;

  constructor(doors: readonly Door[]) {
    this.doors = doors;
    this.loop = this.look();
  }

  /** Waits until the doors have said that, one after the other. */
  async until(wanted: RegExp, seconds: number): Promise<void> {
    await until(() => this.seen.some((one) => wanted.test(one)), seconds, `${wanted} was not seen`);
  }

  /** @returns what was seen, in its order */
  async stop(): Promise<readonly string[]> {
    this.stopped = true;
    await this.loop;
    return this.seen;
  }

  private async look(): Promise<void> {
    let before = "";
    while (!this.stopped) {
      const now = (await Promise.all(this.doors.map((door) => door()))).join(" ");
      if (now === before && now !== this.seen.at(-1)) this.seen.push(now);
      before = now;
      await pause(25);
    }
  }
}

/** A service of the example and its Worker say their release in a header. */
export const byHeader =
  (port: number): Door =>
  async () => {
    const { status, headers } = await ask(port, "/");
    return headers.get("x-release") ?? `${status}`;
  };

/** The example's page, which is files only, shows its version. */
export const byPage =
  (port: number): Door =>
  async () => {
    const { status, text } = await ask(port, "/");
    return /<h1>(.*)<\/h1>/.exec(text)?.[1] ?? `${status}`;
  };

/** The file by which a release of files says its fingerprint. */
export const byFile =
  (port: number): Door =>
  async () => {
    const { status, text } = await ask(port, "/switchyard-release.txt");
    return status === 200 ? text.trim() : `${status}`;
  };

async function ask(port: number, path: string) {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5000) });
    return { status: response.status, headers: response.headers, text: await response.text() };
  } catch {
    return { status: 0, headers: new Headers(), text: "" };
  }
}
