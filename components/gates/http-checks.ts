import { setTimeout as wait } from "node:timers/promises";
import { ask, type WholeAnswer } from "./ask.ts";
import { type GateLine, type GateReport, holds, written } from "./gate-report.ts";

/** Checks over HTTP, one line each: what TRD-3, POD-7 and CHR-7 ask of a release. */
export interface HttpCheck {
  /** @example "health" */
  readonly name: string;
  readonly url: string;
  readonly method?: string;
  /** May be secret: an evidence never holds them. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** @default any of 200 to 299 */
  readonly status?: number | readonly number[];
  /**
   * Values that members of the JSON answer have, by dotted path; a text is compared with the member as text.
   * @example { "database.status": "healthy" }
   */
  readonly json?: Readonly<Record<string, string | number | boolean | null>>;
  /** Headers of the answer; `*` as a value: it is there. Else the value has to contain the text. */
  readonly answerHeaders?: Readonly<Record<string, string>>;
  readonly contains?: string;
  /** Seconds that the answer may take. */
  readonly below?: number;
  /** Member of the JSON answer that tells milliseconds: they are compared in the place of the answer's own time. */
  readonly told?: string;
  /** Name of the release that has to answer; only an answer that says it is of another one (x-release) is not its. */
  readonly release?: string;
  /** Asked up to so many times, as fast as it answers, until the answer is as wanted (rate limiting: status 429). */
  readonly within?: number;
  /** Asked again for so many seconds while it is not as wanted. @default 0 */
  readonly patienceSeconds?: number;
}

export interface HttpGateArgs {
  readonly name: string;
  readonly checks: readonly HttpCheck[];
}

/** Every check is made, in order, whatever came of those before; one that fails stops the update. */
export async function httpGate({ name, checks }: HttpGateArgs, signal?: AbortSignal): Promise<GateReport> {
  const made: { line: GateLine; evidence: object }[] = [];
  for (const check of checks) {
    signal?.throwIfAborted();
    made.push(await makeCheck(check, signal));
  }
  const evidence = { checks: made.map((one) => one.evidence) };
  return { gate: name, lines: made.map(({ line }) => line), evidence };
}

/** Makes one check, with its patience. */
export async function makeCheck(check: HttpCheck, signal?: AbortSignal) {
  const deadline = performance.now() + (check.patienceSeconds ?? 0) * 1000;
  for (;;) {
    const { answer, asked, wrong } = await askWithin(check, signal);
    if (wrong === null || performance.now() >= deadline) {
      const { method = "GET", url } = check;
      const { status, milliseconds, detail } = answer;
      const line = holds(check.name, wrong === null, wrong ?? said(check, answer, asked), allowed(check));
      return {
        line,
        evidence: { name: check.name, method, url, asked, status, milliseconds, detail, wrong },
      };
    }
    await wait(250, undefined, signal ? { signal } : {});
  }
}

async function askWithin(check: HttpCheck, signal?: AbortSignal) {
  const most = check.within ?? 1;
  const { method, headers, body } = check;
  const request = {
    ...(method === undefined ? {} : { method }),
    ...(headers === undefined ? {} : { headers }),
    ...(body === undefined ? {} : { body }),
    seconds: Math.max(5, (check.below ?? 0) * 2),
  };
  for (let asked = 1; ; asked++) {
    signal?.throwIfAborted();
    const answer = await ask(check.url, request);
    const wrong = wrongWith(check, answer);
    if (wrong === null || asked >= most) {
      return { answer, asked, wrong: wrong === null || most === 1 ? wrong : `${wrong} (${asked} requests)` };
    }
  }
}

/** What is not as wanted; null when nothing is. */
function wrongWith(check: HttpCheck, answer: WholeAnswer): string | null {
  const { status, milliseconds, detail } = answer;
  if (status === 0) return `no answer (${detail})`;
  const by = answer.headers["x-release"];
  if (check.release !== undefined && by !== undefined && by !== check.release)
    return `${oneLine(by).slice(0, 60)} answered, not ${check.release}`;
  const statuses = typeof check.status === "number" ? [check.status] : check.status;
  if (statuses ? !statuses.includes(status) : !answer.ok) return `${status} ${oneLine(detail)}`.trim();
  for (const [path, value] of Object.entries(check.json ?? {})) {
    const found = memberOf(answer.text, path);
    const isSame = found.value === value || (found.value !== undefined && String(found.value) === value);
    if (!isSame) return `${path} is ${found.text}`;
  }
  for (const [name, value] of Object.entries(check.answerHeaders ?? {})) {
    const found = answer.headers[name.toLowerCase()];
    if (found === undefined) return `no header ${name}`;
    if (value !== "*" && !found.includes(value)) return `${name}: ${oneLine(found)}`;
  }
  if (check.contains !== undefined && !answer.text.includes(check.contains)) {
    return `an answer without "${check.contains}"`;
  }
  const told = check.told === undefined ? undefined : memberOf(answer.text, check.told).value;
  const took = (typeof told === "number" ? told : milliseconds) / 1000;
  return check.below !== undefined && took >= check.below ? written.seconds(took) : null;
}

function memberOf(text: string, path: string): { readonly value: unknown; readonly text: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { value: undefined, text: "not there: the answer is no JSON" };
  }
  for (const name of path.split(".")) value = (value as Record<string, unknown> | null | undefined)?.[name];
  return { value, text: value === undefined ? "not there" : (JSON.stringify(value)?.slice(0, 80) ?? "?") };
}

function said(check: HttpCheck, { status, milliseconds }: WholeAnswer, asked: number): string {
  const which = check.within === undefined ? "" : ` at request ${asked}`;
  return `${status}${which}, ${written.seconds(milliseconds / 1000)}`;
}

function allowed(check: HttpCheck): string {
  const status = check.status === undefined ? "2xx" : [check.status].flat().join(" or ");
  const members = Object.entries(check.json ?? {}).map(([path, value]) => `${path} ${JSON.stringify(value)}`);
  const headers = Object.entries(check.answerHeaders ?? {}).map(([name, value]) =>
    value === "*" ? `header ${name}` : `${name}: ${value}`,
  );
  const text = check.contains === undefined ? [] : [`"${check.contains}"`];
  const time = check.below === undefined ? [] : [`< ${written.seconds(check.below)}`];
  const within = check.within === undefined ? [] : [`within ${check.within} requests`];
  return [status, ...members, ...headers, ...text, ...time, ...within].join(", ");
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
