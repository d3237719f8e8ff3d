import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { VaultSettings } from "../../components/box/toolkit/vault-settings.ts";

/** The vault of development: a folder, on a machine that may have no restic (CHR-11). */

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "switchyard-vault-"));
  for (const program of ["dirname", "perl"]) {
    const found = spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" });
    symlinkSync(found.stdout.trim(), join(root, program));
  }
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Runs a verb of the local box, where PATH has nothing but what its script needs. */
function verb(words: readonly string[], input: unknown) {
  const { status, stdout, stderr } = spawnSync("components/box/switchyard-box.sh", words, {
    cwd: join(import.meta.dirname, "../.."),
    env: { PATH: root, HOME: root, SWITCHYARD_BOX_ROOT: join(root, "box") },
    input: JSON.stringify(input),
    encoding: "utf8",
    timeout: 20_000,
  });
  return { status, said: `${stdout}${stderr}` };
}

const settings = (changes: Partial<VaultSettings> = {}): VaultSettings => ({
  system: "chrono",
  target: { kind: "folder", path: join(root, "vault") },
  password: "trial",
  database: null,
  configuration: null,
  logDays: 30,
  ...changes,
});

it("needs no restic while there is no database, and makes nothing by halves", () => {
  for (const _ of [1, 2]) {
    const { status, said } = verb(["vault-prepare", "chrono"], settings());
    expect([status, JSON.parse(said)]).toEqual([0, { repository: null, timers: [] }]);
  }
  expect(readdirSync(root)).not.toContain("vault");
  const folder = join(root, "box", "state", "vault", "chrono");
  const modes = readdirSync(folder).map((name) => [name, statSync(join(folder, name)).mode & 0o777]);
  expect(modes).toEqual([
    ["password", 0o600],
    ["settings.json", 0o600],
  ]);
});

it("names what is missing where there is a database", () => {
  const database = { url: "postgresql://a:secret@127.0.0.1:1/d", key: "chrono:databaseUrl", adminUrl: null };
  const { status, said } = verb(["vault-prepare", "chrono"], settings({ database }));
  expect([status, said]).toEqual([1, "restic is not installed here; on Debian: apt-get install restic\n"]);
});

it("says which keys are missing where no vault was prepared, and refuses an empty password", () => {
  const unprepared = verb(["vault-list", "chrono"], {});
  expect(unprepared.said).toContain("chrono has no vault on this machine: set vault:bucket (or vault:folder");
  expect(verb(["vault-prepare", "chrono"], settings({ password: " " })).said).toContain(
    "vault:password: expected one",
  );
});
