import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ssh2 from "ssh2";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { runVerb } from "../../components/box/location.ts";
import { ToolkitServer } from "../support/ssh/toolkit-server.ts";

/** A host shows one of several keys; the one that is pinned need not be the one that it would show first. */
type Pair = ReturnType<typeof ssh2.utils.generateKeyPairSync>;
const keys = [256, 384].map((bits) =>
  ssh2.utils.generateKeyPairSync("ecdsa", { bits: bits as 256 | 384 }),
) as [Pair, Pair];
const [small, large] = keys;
let root: string;
let server: ToolkitServer;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "switchyard-host-key-"));
  vi.stubEnv("SSH_AUTH_SOCK", join(root, "no-agent"));
  server = await ToolkitServer.start(root, [small.private, large.private]);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.stop();
  rmSync(root, { recursive: true, force: true });
});

const box = (hostKey: string) => ({ host: "127.0.0.1", port: server.port, user: "root", hostKey });

it.each([
  ["shows first", small],
  ["would show second", large],
])("the key that the host %s is known when it is pinned", async (_, { public: pinned }) => {
  const { stderr } = await runVerb(box(pinned), ["no-such-verb"], "", 20);
  expect(stderr).toContain("no-such-verb");
});

it("another host is refused, whatever the kind of its key, and nothing is sent to it", async () => {
  server.asked.length = 0;
  const other = ssh2.utils.generateKeyPairSync("ecdsa", { bits: 384 }).public;
  await expect(runVerb(box(other), ["no-such-verb"], "", 20)).rejects.toThrow(
    /it shows the host key ecdsa-sha2-nistp384 \S+, but box\.hostKey pins /,
  );
  const another = ssh2.utils.generateKeyPairSync("ecdsa", { bits: 521 }).public;
  await expect(runVerb(box(another), ["no-such-verb"], "", 20)).rejects.toThrow(
    /it shows the host key ecdsa-sha2-nistp256 \S+, but box\.hostKey pins /,
  );
  expect(server.asked).toEqual([]);
});
