import { type Answer, ask } from "./ask.ts";
import type { Probe } from "./seen.ts";

export interface RequestProbesArgs {
  readonly doors: readonly { readonly name: string; readonly door: string }[];
  readonly paths: readonly string[];
  /** Requests a second to each door. */
  readonly perSecond: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** So many rounds of requests begin at once at most: what a stalled process missed must not be a burst of its own. */
const mostAtOnce = 2;

/** Requests at a steady rate through the front door, apart from the scrapes, so that a quiet night gives a verdict. */
export class RequestProbes {
  private readonly args: RequestProbesArgs;
  private readonly answers = new Map<string, Probe[]>();
  private readonly timer: NodeJS.Timeout;
  private readonly startedAt = performance.now();
  private running = 0;
  private turn = 0;

  constructor(args: RequestProbesArgs) {
    this.args = args;
    this.timer = setInterval(() => this.askThoseDue(), 1000 / args.perSecond);
  }

  /** What was answered since the last call. */
  take(service: string): Probe[] {
    const answers = this.answers.get(service) ?? [];
    this.answers.set(service, []);
    return answers;
  }

  /** What is still on its way is nobody's business any more: nothing waits for it. */
  close(): void {
    clearInterval(this.timer);
  }

  /** A timer of a busy machine is late: what it missed is made up for at twice the rate, at most a second of it. */
  private askThoseDue(): void {
    const { perSecond } = this.args;
    const due = Math.floor(((performance.now() - this.startedAt) / 1000) * perSecond);
    this.turn = Math.max(this.turn, due - Math.ceil(perSecond));
    for (let round = 0; round < mostAtOnce && this.turn < due; round++) this.askAll();
  }

  private askAll(): void {
    const { doors, paths, perSecond } = this.args;
    const path = paths[this.turn % paths.length] ?? "/";
    this.turn += 1;
    for (const { name, door } of doors)
      if (this.running < most(doors.length, perSecond)) this.one(name, `${door}${path}`);
  }

  private one(name: string, url: string): void {
    this.running += 1;
    void ask(url, { headers: this.args.headers ?? {} }).then((answer) => {
      this.running -= 1;
      this.answers.set(name, [...(this.answers.get(name) ?? []), asProbe("request", answer)]);
    });
  }
}

/**
 * A door that answers nothing must not fill this machine with sockets, and a slow one must be asked on: a request is
 * bounded to five seconds, so this many may be on their way at once.
 */
function most(doors: number, perSecond: number): number {
  return Math.ceil(doors * Math.max(50, perSecond * 6));
}

export function asProbe(
  kind: Probe["kind"],
  { ok, status, milliseconds, ownMilliseconds, detail }: Answer,
): Probe {
  return {
    kind,
    ok,
    status: status === 0 ? null : status,
    seconds: milliseconds / 1000,
    ownSeconds: ownMilliseconds / 1000,
    ...(detail ? { detail } : {}),
  };
}
