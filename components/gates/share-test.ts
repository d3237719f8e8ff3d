/**
 * Judges a share of requests (those that failed, those slower than allowed) while it is being measured. Pure; times are
 * milliseconds of a monotonic clock.
 *
 * Two hypotheses stand against each other: a good release has half of what is allowed, a bad one twice as much. Each
 * request adds its log-likelihood ratio, as in Wald's sequential test. Three rules follow from the sum:
 *
 * - broken at once: the sum, never below zero (Page's CUSUM), reaches `breakAt`. One second may add a quarter of that
 *   at most, so four seconds have to agree and one burst decides nothing.
 * - broken in the end: over the whole watch, its worst second left out, the share is above what is allowed, and a good
 *   release would show that less than once in five thousand watches.
 * - held: the same requests are so unlike a bad release that one would show them less than once in two hundred watches.
 *
 * In between there is no verdict: more requests are needed.
 */

/** A good release shows a sum this high once in exp(18), some sixty million, runs of bad luck. */
const breakAt = 18;
/** What one second may add to the sum at most. */
const mostOfASecond = breakAt / 4;
/** Logarithm of the odds at which a bad release counts as excluded: 1 in 200. */
const holdAt = Math.log(0.005);
/** Information, in nats, at which a whole watch above what is allowed is no bad luck of a good release. */
const certain = 8.5;
/** A sum above this is a release that may just be turning bad: it is not confirmed at this moment. */
const turningBad = 5;

/** Rounds of less than this are put together: bursts are weighed by the second, however often somebody looks. */
const secondMilliseconds = 950;
/** A burst of one second touches two of them. */
const burstMilliseconds = 2500;

export interface Requests {
  readonly from: number;
  readonly to: number;
  readonly requests: number;
  readonly bad: number;
}

export interface ShareJudgement {
  readonly state: "held" | "broken" | "above" | "too few";
  /** Bad requests, and all, of the whole watch. */
  readonly bad: number;
  readonly requests: number;
  /** When it was first broken. */
  readonly brokenAt: number | null;
}

export interface ShareTestOptions {
  /** Share of the requests that is allowed to be bad, above 0 and below 1. */
  readonly allowed: number;
  /**
   * A bake shorter than its table's windows has fewer requests than it takes to tell twice the allowed share: it
   * excludes the smallest share that its requests can tell, and says which.
   */
  readonly fitted: boolean;
}

export class ShareTest {
  private readonly options: ShareTestOptions;
  private sum = 0;
  private total = { requests: 0, bad: 0 };
  private second: Requests | null = null;
  private secondBefore: Requests | null = null;
  private worst = { requests: 0, bad: 0 };
  private brokenAt: number | null = null;
  private startedAt: number | null = null;
  private lastAt = 0;

  constructor(options: ShareTestOptions) {
    this.options = options;
  }

  /** Takes the requests of one round, in order of time. */
  add(round: Requests): void {
    this.startedAt ??= round.from;
    this.lastAt = round.to;
    this.total = plus(this.total, round);
    const { second } = this;
    if (second && second.to - second.from >= secondMilliseconds) {
      this.sum = this.sumWith(second);
      this.secondBefore = second;
      this.second = round;
    } else {
      this.second = second ? { ...plus(second, round), from: second.from, to: round.to } : round;
    }
    this.rememberWorst();
    if (this.sumWith(this.second) >= breakAt) this.brokenAt ??= round.to;
  }

  /** @param over the watch has had its whole time, so what it measured over it decides as well */
  judge(over: boolean): ShareJudgement {
    const { allowed, fitted } = this.options;
    const rest = minus(this.total, this.worst);
    const share = rest.requests > 0 ? rest.bad / rest.requests : 0;
    const surelyAbove = share > allowed && rest.requests * information(share, allowed / 2) >= certain;
    if (over && surelyAbove) this.brokenAt ??= this.lastAt;
    // What is forgiven says nothing for the release either: a watch as long as one burst has seen nothing.
    const excluded = fitted ? tellable(rest.requests, allowed) : badShare(allowed);
    const held = excluded !== null && weigh(rest, allowed, excluded) <= holdAt;
    const turning = this.second !== null && this.sumWith(this.second) >= turningBad;
    const state = () => {
      if (this.brokenAt !== null) return "broken";
      if (turning || surelyAbove) return "above";
      return held ? "held" : "too few";
    };
    return { state: state(), ...this.total, brokenAt: this.brokenAt };
  }

  /** The smallest share that the watch would have noticed with 99 % so far; null: none. */
  sees(): number | null {
    const seconds = (this.lastAt - (this.startedAt ?? 0)) / 1000;
    return visible({ requests: this.total.requests, seconds, ...this.options });
  }

  private sumWith(second: Requests): number {
    const { allowed } = this.options;
    const weight = (counts: Counts) => weigh(counts, allowed, badShare(allowed));
    // Of a round that took longer, all that fails may have failed in one second; what is beyond that has not.
    const beyond = { requests: second.requests, bad: second.bad - partOf(second, 1000).bad };
    const furtherSeconds = Math.max(0, (second.to - second.from) / 1000 - 1);
    const furtherMost = mostOfASecond * furtherSeconds;
    const further = beyond.bad > 0 ? Math.min(furtherMost, Math.max(0, weight(beyond))) : 0;
    return Math.max(0, this.sum + Math.min(mostOfASecond + further, weight(second)));
  }

  private rememberWorst(): void {
    if (!this.second) return;
    const before = this.secondBefore;
    const near = before !== null && this.second.to - before.from <= burstMilliseconds;
    const burst = near ? plus(before, this.second) : partOf(this.second, burstMilliseconds);
    if (burst.bad > this.worst.bad) this.worst = burst;
  }
}

/** What is taken for a bad release: twice what is allowed, and never all requests. */
function badShare(allowed: number): number {
  return Math.min(2 * allowed, (1 + allowed) / 2);
}

/** Log-likelihood ratio of a bad release (`bad` of its requests) over a good one (half of what is allowed). */
function weigh({ requests, bad }: Counts, allowed: number, badAre: number): number {
  const goodAre = allowed / 2;
  return bad * Math.log(badAre / goodAre) + (requests - bad) * Math.log((1 - badAre) / (1 - goodAre));
}

/** Kullback-Leibler divergence of a measured share from an assumed one, in nats a request. */
function information(measured: number, assumed: number): number {
  const part = (is: number, was: number) => (is === 0 ? 0 : is * Math.log(is / was));
  return part(measured, assumed) + part(1 - measured, 1 - assumed);
}

/** Most bad requests of so many with which a share of `excluded` counts as excluded; below 0: none is few enough. */
function mostBad(requests: number, allowed: number, excluded: number): number {
  const goodAre = allowed / 2;
  const none = requests * Math.log((1 - excluded) / (1 - goodAre));
  const each = Math.log(excluded / goodAre) - Math.log((1 - excluded) / (1 - goodAre));
  return Math.floor((holdAt - none) / each);
}

/** A good release is to be held by so many requests in all but one of 200 watches. */
const heldByGood = 0.995;

/** Whether so many requests tell a good release from one of which `excluded` are bad. */
function tells(requests: number, allowed: number, excluded: number): boolean {
  const most = mostBad(requests, allowed, excluded);
  return most >= 0 && atMost(most, requests, allowed / 2) >= heldByGood;
}

/** The smallest share, at least twice the allowed one, that so many requests tell from a good one; null: none. */
function tellable(requests: number, allowed: number): number | null {
  const least = badShare(allowed);
  if (tells(requests, allowed, least)) return least;
  // Half of all requests is a plain disaster: a watch that could miss one has seen nothing.
  const largest = 0.5;
  if (!tells(requests, allowed, largest)) return null;
  return bisect(least, largest, (share) => tells(requests, allowed, share));
}

/** Requests it takes to tell twice the allowed share from half of it, both with the errors above. */
export function requestsToTell(allowed: number): number {
  const enough = (requests: number) => tells(Math.round(requests), allowed, badShare(allowed));
  let most = 16;
  while (!enough(most)) most *= 2;
  return Math.ceil(bisect(1, most, enough));
}

export interface Watched extends ShareTestOptions {
  readonly requests: number;
  /** Time in which they are made: the worst second of it does not count. */
  readonly seconds: number;
}

/** The smallest share of bad requests that such a watch holds in fewer than one of a hundred cases; null: none. */
export function visible({ requests, seconds, allowed, fitted }: Watched): number | null {
  const aSecond = requests / Math.max(1, seconds);
  const beside = Math.max(0, requests - (aSecond * burstMilliseconds) / 1000);
  const excluded = fitted ? tellable(beside, allowed) : badShare(allowed);
  if (excluded === null) return null;
  const most = mostBad(beside, allowed, excluded);
  if (most < 0) return null;
  const sees = (share: number) => atMost(most + Math.ceil(2 * aSecond * share) + 1, requests, share) <= 0.01;
  return sees(0.999) ? bisect(allowed / 2, 0.999, sees) : null;
}

/** Probability that at most `count` of so many requests are bad, each with probability `share`. */
function atMost(count: number, requests: number, share: number): number {
  const most = Math.min(count, requests);
  const odds = Math.log(share / (1 - share));
  let term = requests * Math.log(1 - share);
  let sum = 0;
  for (let bad = 0; bad <= most; bad++) {
    sum += Math.exp(term);
    term += Math.log((requests - bad) / (bad + 1)) + odds;
  }
  return Math.min(1, sum);
}

/** The smallest value between the two, to a thousandth of it, for which `holds`; it holds for `high`. */
function bisect(low: number, high: number, holds: (value: number) => boolean): number {
  let [no, yes] = [low, high];
  if (holds(no)) return no;
  while (yes - no > yes / 1000) {
    const middle = (no + yes) / 2;
    if (holds(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}

type Counts = Pick<Requests, "requests" | "bad">;

/** So much of a round's time, and as many of its bad requests as may fall into it. */
function partOf({ from, to, requests, bad }: Requests, milliseconds: number): Counts {
  const part = requests * Math.min(1, milliseconds / Math.max(1, to - from));
  return { requests: part, bad: Math.min(bad, part) };
}

function plus(one: Counts, other: Counts): Counts {
  return { requests: one.requests + other.requests, bad: one.bad + other.bad };
}

function minus(one: Counts, other: Counts): Counts {
  return { requests: one.requests - other.requests, bad: one.bad - other.bad };
}
