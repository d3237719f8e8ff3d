import { describe, expect, it } from "vitest";
import { lineText } from "../../../components/gates/gate-report.ts";
import { type ProcessSample, type SoakSample, soakLines } from "../../../components/gates/soak-samples.ts";

const limits = { errors: 0.02, p95: 1.5, p99: 3, memoryGrowth: 0.1, cpu: 0.7 };

/** Fifteen minutes of one look every ten seconds. */
function soaked(
  look: (share: number, index: number) => Partial<ProcessSample & { failed: string }> = () => ({}),
): SoakSample[] {
  return Array.from({ length: 91 }, (_, index) => {
    const share = index / 90;
    const found = look(share, index);
    const fine = {
      process: "1",
      startedDuring: false,
      residentBytes: 100e6,
      cpuSeconds: share * 900 * 0.4,
      ...found,
    };
    return {
      at: index * 10_000,
      services: { auth: found.failed === undefined ? fine : { failed: found.failed } },
    };
  });
}

const lines = (samples: readonly SoakSample[], cores = 1) =>
  soakLines([{ name: "auth", cores }], samples, limits).map(lineText);

describe("a soak", () => {
  it("says growth, CPU and crashes of each service", () => {
    expect(lines(soaked())).toEqual([
      "✓ auth memory growth: 0 %, allowed < 10 %",
      "✓ auth CPU on average: 40 %, allowed < 70 %",
      "✓ auth crashes: 0, allowed 0",
    ]);
  });

  it("breaks on memory that grew by a tenth, and not on a saw", () => {
    const grown = (by: number) => soaked((share) => ({ residentBytes: 100e6 * (share > 0.5 ? 1 + by : 1) }));
    expect(lines(grown(0.1))[0]).toBe("✗ auth memory growth: 10 %, allowed < 10 %");
    expect(lines(grown(0.099))[0]).toBe("✓ auth memory growth: 9.9 %, allowed < 10 %");
    const saw = soaked((_, index) => ({ residentBytes: 100e6 + (index % 6) * 20e6 }));
    expect(lines(saw)[0]).toMatch(/^✓ auth memory growth/);
  });

  it("breaks on CPU of what a process may use", () => {
    const busy = soaked((share) => ({ cpuSeconds: share * 900 * 0.7 }));
    expect(lines(busy)[1]).toBe("✗ auth CPU on average: 70 %, allowed < 70 %");
    expect(lines(busy, 2)[1]).toBe("✓ auth CPU on average: 35 %, allowed < 70 %");
  });

  it("breaks on a process that was started again, and on a service that is gone at the end", () => {
    const again = soaked((share) => (share > 0.5 ? { process: "2", startedDuring: true } : {}));
    expect(lines(again)[2]).toBe("✗ auth crashes: 1, allowed 0");
    const gone = soaked((share) => (share === 1 ? { failed: "ECONNREFUSED" } : {}));
    expect(lines(gone)[2]).toBe("✗ auth crashes: no answer at the end (ECONNREFUSED), allowed 0");
  });

  it("follows replicas behind one address each by itself", () => {
    const replicas = soaked((share, index) => {
      const second = index % 2 === 1;
      return {
        process: second ? "2" : "1",
        residentBytes: second ? 200e6 : 100e6,
        cpuSeconds: share * 900 * (second ? 0.6 : 0.1) + (second ? 5000 : 0),
      };
    });
    expect(lines(replicas)).toEqual([
      "✓ auth memory growth: 0 %, allowed < 10 %",
      "✓ auth CPU on average: 60 %, allowed < 70 %",
      "✓ auth crashes: 0, allowed 0",
    ]);
  });

  it("without figures is no verdict, never ok", () => {
    const mute = soaked(() => ({ failed: "status 404" }));
    expect(lines(mute)).toEqual([
      "✗ auth memory growth: not measured, allowed < 10 % (no verdict)",
      "✗ auth CPU on average: not measured, allowed < 70 % (no verdict)",
      "✗ auth crashes: not measured (status 404), allowed 0 (no verdict)",
    ]);
    expect(lines([]).every((line) => line.endsWith("(no verdict)"))).toBe(true);
    expect(lines(soaked(() => ({ residentBytes: null })))[0]).toContain("(no verdict)");
    const rarely = soaked((share, index) => (index % 2 === 1 && share < 1 ? { failed: "timeout" } : {}));
    expect(lines(rarely)[2]).toBe("✗ auth crashes: answered 50.55 % of the looks, allowed 0 (no verdict)");
  });
});
