import { type CutoverState, type Failure, untouched } from "../rollout/cutover/state.ts";

/**
 * The edge's memory: one line of JSON in the annotation `workers/message` of the Worker's deployment, so that what is
 * remembered changes in the same call as what serves. Cloudflare cuts that field at 1000 bytes without a word, so this
 * keeps below: what decides (confirmed, receipt, pending, which releases have proved themselves) is never shortened;
 * what people read is, a failure's texts first, then the reason of a flip. A failure's journal is not kept at all: it is
 * in the evidence file on the runner and in the error of the update that failed.
 */

/** Longest message that the API keeps whole, in bytes. */
export const longestMessage = 1000;

export interface EdgeState {
  readonly cutover: CutoverState;
  /** Fingerprints whose gates passed, the latest last: the mark that the cutover asks for. */
  readonly gated: readonly string[];
  /** ISO time until which `destroy` is let through. */
  readonly armed: string | null;
}

export const untouchedEdge: EdgeState = { cutover: untouched, gated: [], armed: null };

const prefix = "switchyard ";
/** Longest text of one field and most releases remembered, tried in turn until the message fits. */
const budgets = [
  [200, 20],
  [100, 20],
  [60, 20],
  [60, 12],
  [30, 12],
  [12, 12],
  [12, 8],
] as const;

/** One-letter names: every byte counts. Times are milliseconds of the epoch in base 36. */
interface Packed {
  readonly c: string | null;
  readonly r: string | null;
  readonly p?: readonly [from: string, to: string, receipt: string, at: string];
  /** Releases that passed their gates, the latest last; those that served a whole bake with an asterisk. */
  readonly g?: string;
  readonly l?: readonly [from: string, at: string, by: string, reason: string];
  readonly s?: string;
  readonly f?: readonly string[];
  readonly a?: string;
}

export function packState(state: EdgeState): string {
  for (const [text, releases] of budgets) {
    const message = `${prefix}${JSON.stringify(pack(state, text, releases))}`;
    if (Buffer.byteLength(message) <= longestMessage) return message;
  }
  throw new Error(
    `the state of ${state.cutover.confirmed ?? "the Worker"} does not fit into ${longestMessage} bytes`,
  );
}

/** Null where the message is somebody else's: a deployment made by hand or by another program. */
export function unpackState(message: string | undefined): EdgeState | null {
  if (!message?.startsWith(prefix)) return null;
  let packed: Packed;
  try {
    packed = JSON.parse(message.slice(prefix.length)) as Packed;
  } catch {
    return null;
  }
  const releases = (packed.g ?? "").split(",").filter(Boolean);
  const pending = packed.p;
  const flipped = packed.l;
  return {
    cutover: {
      confirmed: packed.c,
      receipt: packed.r,
      pending: pending
        ? { from: pending[0] || null, to: pending[1], receipt: pending[2], startedAt: time(pending[3]) }
        : null,
      baked: releases.filter((one) => one.endsWith("*")).map((one) => one.slice(0, -1)),
      flipped: flipped
        ? { from: flipped[0], at: time(flipped[1]), by: flipped[2], reason: flipped[3] }
        : null,
      stuck: packed.s ?? null,
      lastFailure: packed.f ? unpackFailure(packed.f) : null,
    },
    gated: releases.map((one) => one.replace("*", "")),
    armed: packed.a ? time(packed.a) : null,
  };
}

function pack({ cutover, gated, armed }: EdgeState, longest: number, mostReleases: number): Packed {
  const { confirmed, receipt, pending, baked, flipped, stuck, lastFailure } = cutover;
  const cut = (text: string) => shorten(text, longest);
  const inOrder = [...baked, ...gated.filter((one) => !baked.includes(one))];
  const needed = [confirmed, pending?.from, pending?.to];
  const kept = inOrder.filter((one, index) => needed.includes(one) || index >= inOrder.length - mostReleases);
  const list = kept.map((one) => (baked.includes(one) ? `${one}*` : one)).join(",");
  return {
    c: confirmed,
    r: receipt,
    ...(pending
      ? { p: [pending.from ?? "", pending.to, pending.receipt, stamp(pending.startedAt)] as const }
      : {}),
    ...(list ? { g: list } : {}),
    ...(flipped
      ? { l: [flipped.from, stamp(flipped.at), cut(flipped.by), cut(flipped.reason)] as const }
      : {}),
    ...(stuck === null ? {} : { s: cut(stuck) || "stuck" }),
    ...(lastFailure ? { f: packFailure(lastFailure, cut) } : {}),
    ...(armed ? { a: stamp(armed) } : {}),
  };
}

function packFailure(failure: Failure, cut: (text: string) => string): string[] {
  const { fingerprint, release, leg, step, rule, measured, allowed, evidence, at, verdictAt } = failure;
  const texts = [rule, measured, allowed].map(cut);
  const packed = [fingerprint, cut(release), step, ...texts, cut(evidence), stamp(at), stamp(verdictAt)];
  return leg === undefined ? packed : [...packed, leg];
}

function unpackFailure(packed: readonly string[]): Failure {
  const [fingerprint = "", release = "", step = "", rule = "", measured = "", allowed = ""] = packed;
  const [evidence = "", at = "0", verdictAt = "0", leg] = packed.slice(6);
  const texts = { fingerprint, release, ...(leg === undefined ? {} : { leg }) };
  const said = { step, rule, measured, allowed, evidence };
  return { ...texts, ...said, journal: [], at: time(at), verdictAt: time(verdictAt) };
}

/** At most `longest` bytes of JSON text: anything but printable ASCII counts as much as it takes there. */
function shorten(text: string, longest: number): string {
  const bytes = (part: string) => Buffer.byteLength(JSON.stringify(part)) - 2;
  if (bytes(text) <= longest) return text;
  let kept = "";
  for (const letter of text) {
    if (bytes(kept + letter) + 3 > longest) break;
    kept += letter;
  }
  return `${kept}…`;
}

const stamp = (iso: string) => Date.parse(iso).toString(36);
const time = (packed: string) => new Date(Number.parseInt(packed, 36)).toISOString();
