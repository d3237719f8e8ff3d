import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { certificateGate } from "../../../components/gates/certificate.ts";
import { lineText } from "../../../components/gates/gate-report.ts";

const folder = mkdtempSync(join(tmpdir(), "switchyard-certificate-"));
const day = 86_400_000;
let server: Server;
let authorities: string;
let begin: number;

beforeAll(async () => {
  const words =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=gate.example";
  const files = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "certificate.pem")];
  execFileSync("openssl", [...words.split(" "), "-addext", "subjectAltName=DNS:gate.example", ...files], {
    stdio: "ignore",
  });
  begin = Date.now();
  authorities = readFileSync(join(folder, "certificate.pem"), "utf8");
  server = createServer({ cert: authorities, key: readFileSync(join(folder, "key.pem")) });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

async function lines(host: string, daysFromNow: number, trusted = true) {
  const { port } = server.address() as AddressInfo;
  const hosts = [{ host, port, address: "127.0.0.1", ...(trusted ? { authorities } : {}) }];
  const report = await certificateGate({ name: "certificate", hosts }, new Date(begin + daysFromNow * day));
  return report.lines.map((line) => lineText(line).replace(/until [\d-]+/, "until _"));
}

describe("a certificate", () => {
  it("is trusted, for its name, and valid for more than 30 days", async () => {
    expect(await lines("gate.example", 10)).toEqual([
      "✓ certificate of gate.example: trusted, for this name, allowed trusted, for this name",
      "✓ certificate of gate.example stays valid: 79 days (until _), allowed > 30 days",
    ]);
  });

  it("with 30 days left or fewer, or none, is refused", async () => {
    expect((await lines("gate.example", 60.01))[1]).toBe(
      "✗ certificate of gate.example stays valid: 29 days (until _), allowed > 30 days",
    );
    expect((await lines("gate.example", 91))[1]).toMatch(/^✗ .*: -\d days/);
  });

  it("for another name, or from nobody that is trusted, is refused", async () => {
    expect((await lines("other.example", 0))[0]).toMatch(
      /^✗ certificate of other\.example: ERR_TLS_CERT_ALTNAME_INVALID/,
    );
    expect((await lines("gate.example", 0, false))[0]).toMatch(/^✗ .*DEPTH_ZERO_SELF_SIGNED_CERT/);
  });

  it("that cannot be seen is no verdict", async () => {
    const hosts = [{ host: "gate.example", port: 1, address: "127.0.0.1" }];
    const report = await certificateGate({ name: "certificate", hosts });
    expect(report.lines.map(({ state }) => state)).toEqual(["unmeasured", "unmeasured"]);
    expect(report.lines[0]!.measured).toContain("ECONNREFUSED");
  });
});
