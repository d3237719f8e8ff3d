import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { hashOfFolder, readAssets, stageContent } from "../../../components/edge/content.ts";
import type { EdgeManifest } from "../../../components/edge/manifest.ts";

let folder = "";
let built = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "switchyard-edge-content-"));
  vi.stubEnv("SWITCHYARD_EDGE_ROOT", join(folder, "root"));
  built = join(folder, "built");
  mkdirSync(join(built, "site"), { recursive: true });
  writeFileSync(join(built, "worker.js"), "export default {}");
  writeFileSync(join(built, "site", "index.html"), "<h1>hi</h1>");
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

function manifest(more: Partial<EdgeManifest> = {}): EdgeManifest {
  return {
    environment: "development",
    system: "pod",
    release: "v1",
    version: "v1",
    content: { kind: "folder", path: built, sha256: hashOfFolder(built) },
    main: "worker.js",
    assets: { folder: "site", notFound: "none" },
    compatibilityDate: "2026-07-01",
    compatibilityFlags: [],
    settings: {},
    secrets: {},
    migrationTag: null,
    health: "/health",
    ...more,
  };
}

test("a folder's checksum is of its names and contents, and of nothing else", () => {
  const before = hashOfFolder(built);
  expect(before).toMatch(/^[0-9a-f]{64}$/);
  writeFileSync(join(built, "worker.js"), "export default { }");
  expect(hashOfFolder(built)).not.toBe(before);
  writeFileSync(join(built, "worker.js"), "export default {}");
  expect(hashOfFolder(built)).toBe(before);
  expect(hashOfFolder(join(folder, "absent"))).toBe("");
});

test("what is uploaded is a copy: what is built meanwhile changes nothing", async () => {
  const staged = await stageContent(manifest(), "0123456789ab");
  writeFileSync(join(built, "worker.js"), "broken");
  expect(readFileSync(join(staged, "worker.js"), "utf8")).toBe("export default {}");
  expect([...(await readAssets(join(staged, "site"))).keys()]).toEqual(["/index.html"]);
});

test("a release of files only says its fingerprint in one of them", async () => {
  const staged = await stageContent(manifest({ main: null }), "0123456789ab");
  const assets = await readAssets(join(staged, "site"));
  expect([...assets.keys()]).toEqual(["/index.html", "/switchyard-release.txt"]);
  expect(assets.get("/switchyard-release.txt")?.bytes.toString()).toBe("0123456789ab\n");
  expect(assets.get("/index.html")).toMatchObject({ type: "text/html" });
});

test("files that were built again since the release was frozen are refused", async () => {
  const frozen = manifest();
  writeFileSync(join(built, "worker.js"), "other");
  await expect(stageContent(frozen, "0123456789ab")).rejects.toThrow(
    /has the checksum [0-9a-f]{64}, expected [0-9a-f]{64}: it was built again since v1 was frozen/,
  );
});

test("files that are not there, or lack what the manifest names, are refused by name", async () => {
  const absent = { kind: "folder", path: join(folder, "absent"), sha256: "" } as const;
  await expect(stageContent(manifest({ content: absent }), "a".repeat(12))).rejects.toThrow(
    /v1 has no files yet: .*absent is not there or has no checksum; build it/,
  );
  await expect(stageContent(manifest({ main: "other.js" }), "b".repeat(12))).rejects.toThrow(
    "holds no other.js",
  );
  const assets = { folder: "public", notFound: "none" } as const;
  await expect(stageContent(manifest({ assets }), "c".repeat(12))).rejects.toThrow("holds no folder public");
});

test("an archive is unpacked where its checksum is right, and refused where it is not", async () => {
  const archive = join(folder, "built.tar.gz");
  execFileSync("tar", ["-czf", archive, "-C", built, "."]);
  const sha256 = createHash("sha256").update(readFileSync(archive)).digest("hex");
  const right = { kind: "artifact", path: archive, sha256 } as const;
  const staged = await stageContent(manifest({ content: right }), "d".repeat(12));
  expect(readFileSync(join(staged, "site", "index.html"), "utf8")).toBe("<h1>hi</h1>");
  const wrong = { ...right, sha256: "0".repeat(64) };
  await expect(stageContent(manifest({ content: wrong }), "e".repeat(12))).rejects.toThrow(
    "nothing was unpacked",
  );
});
