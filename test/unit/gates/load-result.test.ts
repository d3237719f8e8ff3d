import { describe, expect, it } from "vitest";
import { lineText } from "../../../components/gates/gate-report.ts";
import { sanctumTests } from "../../../components/gates/limits.ts";
import { loadLines } from "../../../components/gates/load.ts";
import { LoadResults } from "../../../components/gates/load-result.ts";

const millisecond = 1e6;
const asked = { rate: 100, seconds: 2 };
const limits = { errors: 0.02, p95: 1.5, p99: 3 };

/** 200 requests, one every 10 ms; what is not said is sent on time and answered 200 after 5 ms. */
function results(
  change: (number: number) => {
    late?: number;
    latency?: number;
    status?: number;
    missing?: boolean;
  } = () => ({}),
) {
  const all = new LoadResults(asked);
  for (let number = 0; number < 200; number++) {
    const { late = 0, latency = 5, status = 200, missing = false } = change(number);
    if (missing) continue;
    const sentAt = 1.7e18 + (number * 10 + late) * millisecond;
    const error = status === 200 ? "" : `status ${status}`;
    const url = number % 2 === 0 ? "http://a/" : "http://b/";
    all.add({ number, sentAt, latency: latency * millisecond, status, error, url });
  }
  return all.summary();
}

function states(summary: ReturnType<typeof results>) {
  return loadLines(summary, asked, limits).map(({ rule, state }) => `${rule} ${state}`);
}

const allHeld = [
  "rate held",
  "errors held",
  "p95 held",
  "p99 held",
  "the generator's own lateness (p99) held",
];

describe("latency", () => {
  it("is that of every request, from when it was due", () => {
    expect(results()).toMatchObject({ due: 200, sent: 200, errors: 0, statuses: { 200: 200 } });
    expect(results().latency!.max).toBeCloseTo(0.005, 5);
    expect(results().rate).toBeCloseTo(100, 3);
    expect(states(results())).toEqual(allHeld);
  });

  it("counts what a late generator hid: a request due at 0 s, sent at 1 s, took a second more", () => {
    const behind = results((number) => (number >= 100 ? { late: 1000 } : {}));
    expect(behind.latency!.p95).toBeCloseTo(1.005, 2);
    expect(behind.lateness!.p99).toBeCloseTo(1, 2);
    expect(states(behind)).toEqual([
      "rate unmeasured",
      "errors held",
      "p95 held",
      "p99 held",
      "the generator's own lateness (p99) unmeasured",
    ]);
  });

  it("does not depend on the order in which results come", () => {
    const shots = Array.from({ length: 200 }, (_, number) => number).reverse();
    const all = new LoadResults(asked);
    for (const number of shots) {
      const sentAt = 1.7e18 + number * 10 * millisecond;
      all.add({ number, sentAt, latency: number * millisecond, status: 200, error: "", url: "http://a/" });
    }
    expect(all.summary().latency!.p50).toBeCloseTo(0.099, 4);
    expect(all.summary().lateness!.max).toBeCloseTo(0, 5);
  });
});

describe("the lines of a load gate", () => {
  it("break at the limit, not below it", () => {
    const bad = (n: number) => results((number) => (number < n ? { status: 503 } : {}));
    expect(states(bad(3))).toEqual(allHeld);
    expect(states(bad(4))[1]).toBe("errors broken");
    expect(loadLines(bad(4), asked, limits).map(lineText)[1]).toBe(
      "✗ errors: 2 % (4 of 200; 4 × status 503), allowed < 2 %",
    );
    const slow = (n: number, latency: number) => results((number) => (number < n ? { latency } : {}));
    expect(states(slow(10, 1500))[2]).toBe("p95 held");
    expect(states(slow(11, 1500))[2]).toBe("p95 broken");
    expect(states(slow(3, 3000))[3]).toBe("p99 broken");
  });

  it("count no answer as an error", () => {
    const silent = results((number) => (number < 10 ? { status: 0 } : {}));
    expect(silent.statuses).toEqual({ 200: 190, "no answer": 10 });
    expect(states(silent)[1]).toBe("errors broken");
  });

  it("give no verdict where the load was not put on, and none without any request", () => {
    expect(states(results((number) => ({ missing: number >= 190 })))[0]).toBe("rate unmeasured");
    const nothing = results(() => ({ missing: true }));
    expect(loadLines(nothing, asked, limits).map(lineText)).toEqual([
      "✗ rate: no request was sent, allowed ≥ 99 % of 100/s (no verdict)",
      "✗ errors: not measured, allowed < 2 % (no verdict)",
      "✗ p95: not measured, allowed < 1500 ms (no verdict)",
      "✗ p99: not measured, allowed < 3000 ms (no verdict)",
    ]);
  });

  it("tell the targets apart in the evidence", () => {
    const one = results((number) => (number % 2 === 0 ? { latency: 800 } : {}));
    expect(Object.keys(one.byUrl)).toEqual(["http://a/", "http://b/"]);
    expect(one.byUrl["http://a/"]!.p95).toBeCloseTo(0.8, 3);
  });
});

it("the tests are those of the document (SAN-3, SAN-4)", () => {
  const limit = { errors: 0.02, p95: 1.5, p99: 3 };
  expect(sanctumTests).toEqual({
    load: [
      { name: "load-1KiB", rate: 1000, seconds: 120, bodyBytes: 1024, limits: limit },
      { name: "load-64KiB", rate: 1000, seconds: 120, bodyBytes: 65_536, limits: limit },
    ],
    soak: {
      name: "soak",
      rate: 500,
      seconds: 900,
      bodyBytes: 1024,
      limits: { ...limit, memoryGrowth: 0.1, cpu: 0.7 },
    },
  });
});
