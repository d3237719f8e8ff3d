import { describe, expect, test } from "vitest";
import {
  type CutoverTarget,
  cutOver,
  type Finding,
  KilledError,
  resolve,
  type Step,
  StuckError,
  steps,
  withdraw,
} from "../../components/rollout/cutover/machine.ts";
import { type CutoverState, untouched } from "../../components/rollout/cutover/state.ts";

const verdictAt = new Date("2025-12-31T23:59:58Z");
const verdict = { rule: "errorRate > 1 %", measured: "20 %", allowed: "≤ 1 %", at: verdictAt };

/** A finding whose explanation notes where the door led when it was asked for. */
function badSeenFrom(target: { door: string | null }): Finding {
  return {
    ...verdict,
    explain: async () => ({ journal: [`asked while ${target.door} served`], evidence: "/e" }),
  };
}

/** A target in memory: one door, one place for the singleton, everything that happened in order. */
class RecordedTarget implements CutoverTarget {
  state: CutoverState = { ...untouched, confirmed: "old", receipt: "r-old", baked: ["old"] };
  door: string | null = "old";
  singleton: string | null = "old";
  remembered: string | null = "old";
  events: string[] = [];
  unhealthy: Finding | null = null;
  verdict: Finding | null = null;
  outside: Finding | null = null;
  moveFails = 0;
  /** Runs before each look at the door, the first one with 1. */
  beforeLook: (look: number) => void = () => {};
  looks = 0;

  /** The front door's process is killed and started again: it opens on what is remembered. */
  restartDoor() {
    this.door = this.remembered;
  }
  async lookAtDoors(fingerprint: string | null) {
    this.beforeLook(++this.looks);
    if (this.door === fingerprint) return null;
    const measured = `the front door serves v-${this.door}, not v-${fingerprint}`;
    return { rule: "every front door serves it", measured, allowed: `v-${fingerprint}` };
  }
  async readState() {
    return this.state;
  }
  async writeState(state: CutoverState) {
    this.events.push(`write confirmed=${state.confirmed} pending=${state.pending?.to ?? "none"}`);
    this.state = state;
  }
  async checkHealth(fingerprint: string) {
    this.events.push(`health ${fingerprint}`);
    return this.unhealthy;
  }
  async moveTraffic(to: string | null, direction: "forward" | "back") {
    this.events.push(`move ${to}${direction === "back" ? " back" : ""}`);
    if (this.moveFails > 0) {
      this.moveFails -= 1;
      throw new Error("the front door does not answer");
    }
    this.door = to;
    this.singleton = null;
    this.singleton = to;
  }
  async verify(fingerprint: string) {
    this.events.push(`verify ${fingerprint}`);
    return this.outside;
  }
  async bake(fingerprint: string, short: boolean) {
    this.events.push(`bake ${fingerprint}${short ? " short" : ""}`);
    return this.verdict;
  }
  async remember(fingerprint: string | null) {
    this.events.push(`remember ${fingerprint}`);
    this.remembered = fingerprint;
  }
  async drain() {
    this.events.push("drain");
  }
  async releaseName(fingerprint: string) {
    return `v-${fingerprint}`;
  }
  now() {
    return new Date("2026-01-01T00:00:00Z");
  }
}

const request = { to: "new", receipt: "r-new" };

function killAt(step: Step) {
  return (at: Step) => {
    if (at === step) throw new KilledError();
  };
}

describe("a release that holds", () => {
  test("goes through every step in order, and pending stands before the first request moves", async () => {
    const target = new RecordedTarget();
    expect(await cutOver(target, request)).toEqual({ held: true });
    expect(target.events).toEqual([
      "health new",
      "write confirmed=old pending=new",
      "move new",
      "verify new",
      "bake new",
      "write confirmed=new pending=none",
      "remember new",
      "drain",
    ]);
    expect(target.state).toMatchObject({
      confirmed: "new",
      receipt: "r-new",
      pending: null,
      baked: ["old", "new"],
    });
  });

  test("that has served a whole bake gets the short one when it comes back", async () => {
    const target = new RecordedTarget();
    await cutOver(target, request);
    target.events = [];
    await cutOver(target, { to: "old", receipt: "r-back" });
    expect(target.events).toContain("bake old short");
  });

  test("that is confirmed already is not baked again: its receipt is recorded", async () => {
    const target = new RecordedTarget();
    expect(await cutOver(target, { to: "old", receipt: "r-again" })).toEqual({ held: true });
    expect(target.events).toEqual(["move old back", "write confirmed=old pending=none", "remember old"]);
    expect(target.state.receipt).toBe("r-again");
  });
});

describe("a release that does not hold", () => {
  test("takes no request when it is not healthy", async () => {
    const target = new RecordedTarget();
    target.unhealthy = badSeenFrom(target);
    expect(await cutOver(target, request)).toMatchObject({
      held: false,
      failure: { step: "health", rule: verdict.rule },
    });
    expect(target.events).toEqual(["health new", "write confirmed=old pending=none"]);
    expect(target.door).toBe("old");
  });

  test("goes back to what is confirmed when the bake says so, and the receipt stays the old one", async () => {
    const target = new RecordedTarget();
    target.verdict = badSeenFrom(target);
    const outcome = await cutOver(target, request);
    expect(outcome).toMatchObject({
      held: false,
      failure: {
        step: "bake",
        release: "v-new",
        rule: verdict.rule,
        measured: "20 %",
        allowed: "≤ 1 %",
        verdictAt: verdictAt.toISOString(),
        journal: ["asked while old served"],
      },
    });
    expect([target.door, target.singleton, target.remembered]).toEqual(["old", "old", "old"]);
    expect(target.state).toMatchObject({ confirmed: "old", receipt: "r-old", pending: null, baked: ["old"] });
  });

  test("goes back before it is baked when a check from outside fails, and the failure names the check", async () => {
    const target = new RecordedTarget();
    target.outside = { rule: "API: GET http://127.0.0.1:8110/api", measured: "500", allowed: "2xx" };
    const outcome = await cutOver(target, request);
    expect(outcome).toMatchObject({
      held: false,
      failure: { step: "verify", rule: "API: GET http://127.0.0.1:8110/api", measured: "500" },
    });
    expect(target.events).not.toContain("bake new");
    expect([target.door, target.singleton, target.remembered]).toEqual(["old", "old", "old"]);
    expect(target.state).toMatchObject({ confirmed: "old", pending: null, baked: ["old"] });
  });

  test("as the first release of a system leaves nothing behind the door", async () => {
    const target = new RecordedTarget();
    Object.assign(target, {
      state: untouched,
      door: null,
      singleton: null,
      remembered: null,
      verdict: badSeenFrom(target),
    });
    expect(await cutOver(target, request)).toMatchObject({ held: false });
    expect([target.door, target.singleton, target.state.confirmed]).toEqual([null, null, null]);
  });

  test("on another leg is on record here, where nothing had moved yet; what a flip has left stays left", async () => {
    const target = new RecordedTarget();
    const flipped = { from: "newer", at: "t", by: "somebody", reason: "errors" };
    target.state = { ...target.state, flipped };
    const { rule, measured, allowed } = verdict;
    const elsewhere = {
      fingerprint: "new",
      release: "v-new",
      step: "health",
      rule,
      measured,
      allowed,
    } as const;
    const returning = { ...elsewhere, at: "t", verdictAt: "t", journal: [], evidence: "", leg: "edge" };
    expect(await cutOver(target, { to: "old", receipt: "r-old", returning })).toEqual({ held: true });
    expect(target.state).toEqual({
      ...{ ...untouched, confirmed: "old", receipt: "r-old", baked: ["old"] },
      ...{ flipped, lastFailure: returning },
    });
    expect(target.door).toBe("old");
  });

  test("may be tried again with the same pins: from the health check on", async () => {
    const target = new RecordedTarget();
    target.verdict = badSeenFrom(target);
    await cutOver(target, request);
    target.events = [];
    target.verdict = null;
    expect(await cutOver(target, { ...request, receipt: "r-2" })).toEqual({ held: true });
    expect(target.events[0]).toBe("health new");
    expect(target.state.lastFailure).toBeNull();
  });

  test("whose switch breaks is taken back", async () => {
    const target = new RecordedTarget();
    target.moveFails = 1;
    expect(await cutOver(target, request)).toMatchObject({ held: false, failure: { step: "switch" } });
    expect([target.door, target.state.pending]).toEqual(["old", null]);
  });
});

describe("killed before a step", () => {
  const served: Record<Step, string> = {
    health: "old",
    pending: "old",
    switch: "old",
    verify: "old",
    bake: "old",
    confirm: "old",
    remember: "new",
  };

  test.each([
    ...steps,
  ])("%s: what is confirmed serves once the watchdog has resolved, then the same pins work", async (step) => {
    const target = new RecordedTarget();
    await expect(cutOver(target, request, killAt(step))).rejects.toBeInstanceOf(KilledError);
    await resolve(target, "killed");
    const kept = served[step];
    expect([target.door, target.singleton, target.remembered, target.state.confirmed]).toEqual([
      kept,
      kept,
      kept,
      kept,
    ]);
    expect(target.state.pending).toBeNull();
    expect(await cutOver(target, request)).toEqual({ held: true });
    expect([target.door, target.state.confirmed]).toEqual(["new", "new"]);
  });

  test.each([
    ...steps,
  ])("%s: a next cutover that finds no watchdog resolves by itself, to old pins too", async (step) => {
    const target = new RecordedTarget();
    await expect(cutOver(target, request, killAt(step))).rejects.toBeInstanceOf(KilledError);
    expect(await cutOver(target, { to: "old", receipt: "r-3" })).toEqual({ held: true });
    expect([target.door, target.singleton, target.state.confirmed, target.state.pending]).toEqual([
      "old",
      "old",
      "old",
      null,
    ]);
  });

  test("a retry after a kill in the bake goes back to what is confirmed, not to what the door names", async () => {
    const target = new RecordedTarget();
    await expect(cutOver(target, request, killAt("confirm"))).rejects.toBeInstanceOf(KilledError);
    expect(target.door).toBe("new");
    target.verdict = badSeenFrom(target);
    expect(await cutOver(target, request)).toMatchObject({ held: false });
    expect(target.door).toBe("old");
  });
});

describe("a front door that starts again opens on what it remembers", () => {
  const elsewhere = "the front door serves v-old, not v-new";

  test.each([
    ["a bake", { to: "new", receipt: "r-new" }],
    ["a flip, which has no bake", { to: "new", receipt: "f", flip: { by: "ops@desk", reason: "prices" } }],
  ])("after %s: the release is not confirmed but taken back, and the finding says whom it serves", async (_what, asked) => {
    const target = new RecordedTarget();
    const outcome = await cutOver(target, asked, (step) => {
      if (step === "confirm") target.restartDoor();
    });
    expect(outcome).toMatchObject({
      held: false,
      failure: { step: "confirm", release: "v-new", measured: elsewhere, allowed: "v-new" },
    });
    expect(target.events).not.toContain("write confirmed=new pending=none");
    expect([target.door, target.singleton, target.remembered]).toEqual(["old", "old", "old"]);
    expect(target.state).toMatchObject({ confirmed: "old", pending: null, baked: ["old"] });
  });

  test("after a return because another leg failed: that is a failure too", async () => {
    const target = new RecordedTarget();
    const { rule, measured, allowed } = verdict;
    const failed = { fingerprint: "x", release: "v-x", step: "bake", rule, measured, allowed, leg: "edge" };
    const returning = { ...failed, at: "t", verdictAt: "t", journal: [], evidence: "" };
    const outcome = await cutOver(target, { to: "new", receipt: "r", returning }, (step) => {
      if (step === "confirm") target.restartDoor();
    });
    expect(outcome).toMatchObject({ held: false, failure: { step: "confirm", measured: elsewhere } });
    expect(target.state.confirmed).toBe("old");
  });

  test("between the last look and `remember`: it is pointed at what was confirmed", async () => {
    const target = new RecordedTarget();
    const outcome = await cutOver(target, request, (step) => {
      if (step === "remember") target.restartDoor();
    });
    expect(outcome).toEqual({ held: true });
    expect([target.door, target.singleton, target.remembered]).toEqual(["new", "new", "new"]);
    expect(target.events.at(-2)).toBe("move new back");
  });

  test("there and the baker is killed: whoever settles points it at what was confirmed", async () => {
    const target = new RecordedTarget();
    const killed = cutOver(target, request, (step) => {
      if (step !== "remember") return;
      target.restartDoor();
      throw new KilledError();
    });
    await expect(killed).rejects.toBeInstanceOf(KilledError);
    expect([target.door, target.state.confirmed]).toEqual(["old", "new"]);
    expect(await resolve(target, "killed")).toBeNull();
    expect([target.door, target.remembered, target.state.confirmed]).toEqual(["new", "new", "new"]);
  });

  test("while a release is taken back: the first one of a system stays behind no door", async () => {
    const target = new RecordedTarget();
    Object.assign(target, { state: untouched, door: null, singleton: null, remembered: null });
    target.verdict = badSeenFrom(target);
    target.beforeLook = (look) => {
      if (look === 1) target.door = "new";
    };
    expect(await cutOver(target, request)).toMatchObject({ held: false, failure: { step: "bake" } });
    expect([target.door, target.remembered, target.state.pending]).toEqual([null, null, null]);
  });

  test("while traffic is withdrawn: it serves nothing in the end", async () => {
    const target = new RecordedTarget();
    target.beforeLook = (look) => {
      if (look === 1) target.door = "old";
    };
    await withdraw(target);
    expect([target.door, target.remembered]).toEqual([null, null]);
  });
});

describe("taking back that fails", () => {
  test("three times leaves the system stuck, and every later cutover is refused with the way out", async () => {
    const target = new RecordedTarget();
    target.verdict = badSeenFrom(target);
    const fails = Object.assign(target, { moveFails: 0 });
    const failing = cutOver(target, request, (step) => {
      if (step === "bake") fails.moveFails = 3;
    });
    await expect(failing).rejects.toBeInstanceOf(StuckError);
    expect(target.state.stuck).toContain("taking traffic back to old failed three times");
    expect(target.state.pending).toMatchObject({ to: "new" });
  });

  test("is taken up again by the watchdog once the door answers", async () => {
    const target = new RecordedTarget();
    target.state = { ...target.state, stuck: "the door was gone", pending: null };
    target.door = "new";
    await resolve(target, "killed");
    expect([target.door, target.state.stuck]).toEqual(["old", null]);
  });
});

test("draining that fails changes nothing about where traffic is", async () => {
  const target = new RecordedTarget();
  target.drain = async () => {
    throw new Error("the socket does not answer");
  };
  expect(await cutOver(target, request)).toEqual({ held: true });
  target.verdict = badSeenFrom(target);
  expect(await cutOver(target, { to: "third", receipt: "r-3" })).toMatchObject({ held: false });
  expect([target.door, target.state.stuck, target.state.pending]).toEqual(["new", null, null]);
});

describe("a flip", () => {
  test("moves without a bake, and what it left is not brought back by the old pins", async () => {
    const target = new RecordedTarget();
    await cutOver(target, {
      ...request,
      receipt: "flip-1",
      flip: { by: "ops@desk", reason: "prices are wrong" },
    });
    expect(target.events).not.toContain("bake new");
    expect(target.events).not.toContain("verify new");
    const back = await cutOver(target, { to: "old", receipt: "r-4" });
    expect(back).toMatchObject({ held: false, failure: { step: "flip" } });
    expect(back.held === false && back.failure.measured).toContain("ops@desk flipped away");
    expect(target.door).toBe("new");
  });

  test("is recorded by the next update whose pins agree, and then forgotten", async () => {
    const target = new RecordedTarget();
    await cutOver(target, {
      ...request,
      receipt: "flip-1",
      flip: { by: "ops@desk", reason: "prices are wrong" },
    });
    expect(await cutOver(target, { to: "new", receipt: "r-5" })).toEqual({ held: true });
    expect(target.state).toMatchObject({ confirmed: "new", receipt: "r-5", flipped: null });
  });
});

test("withdrawing takes traffic away before anything is deleted", async () => {
  const target = new RecordedTarget();
  await withdraw(target);
  expect([target.door, target.state.confirmed, target.remembered]).toEqual([null, null, null]);
});
