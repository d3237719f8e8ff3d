import { describe, expect, it } from "vitest";
import { lineText } from "../../../components/gates/gate-report.ts";
import { type Scan, scanGate } from "../../../components/gates/scan.ts";

const scan = (script: string, more: Partial<Scan> = {}): Scan => ({
  name: "vulnerabilities",
  command: ["sh", "-c", script, "scanner", "{subject}"],
  key: "pod:scans.vulnerabilities",
  ...more,
});
const gate = async (...scans: Scan[]) => (await scanGate({ name: "scan", scans })).lines.map(lineText);

describe("a scan", () => {
  it("runs once for each image, and shows the last line of what it said", async () => {
    const subjects = ["api@sha256:1", "web@sha256:2"];
    const script = 'echo "$1: 2 low, 0 critical"; case "$1" in web*) exit 1;; esac';
    expect(await gate(scan(script, { subjects }))).toEqual([
      "✓ vulnerabilities of api@sha256:1: exit 0: api@sha256:1: 2 low, 0 critical, allowed exit 0",
      "✗ vulnerabilities of web@sha256:2: exit 1: web@sha256:2: 2 low, 0 critical, allowed exit 0",
    ]);
  });

  it("that does not end is ended, with what it started", async () => {
    expect(await gate(scan("echo looking; sleep 60 & wait", { seconds: 0.5 }))).toEqual([
      "✗ vulnerabilities: no end within 0.5 s: looking, allowed exit 0",
    ]);
  });

  it("whose scanner is missing is an error that names it, before any other runs", async () => {
    const missing = scan("", {
      command: ["no-such-scanner", "image"],
      name: "licences",
      key: "traider:scans",
    });
    await expect(gate(scan("echo ran >&2"), missing)).rejects.toThrow(
      'traider:scans: "no-such-scanner", which scans for licences, is not on this machine: install it or change traider:scans',
    );
  });
});
