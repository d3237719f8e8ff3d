import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { sha256 } from "../../components/box/toolkit/vault-signature.ts";
import { flow, start } from "../../components/box/toolkit/vault-stream.ts";

/** Dumps on their way (CHR-11): what is stored or restored is whole, or it is an error that says why. */

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "switchyard-stream-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const shell = (script: string) =>
  start(["sh", "-c", script], { env: { FOLDER: folder }, seconds: 60, failure: (said) => new Error(said) });

/** Takes three bytes and is gone before its source says the rest. */
const early = 'echo $$ > "$FOLDER/pid"; exec head -c 3 > "$FOLDER/got"';
const late =
  'printf abc; until [ -s "$FOLDER/pid" ]; do sleep 0.05; done; ' +
  'while kill -0 "$(cat "$FOLDER/pid")" 2>/dev/null; do sleep 0.05; done; printf def';

it("measures all of a source whose target knows by itself when it has everything", async () => {
  const flowed = await flow(shell(late), shell(early), { endsByItself: true });
  expect(flowed).toEqual({ bytes: 6, sha256: sha256("abcdef") });
});

it("takes no other target's word for it", async () => {
  await expect(flow(shell(late), shell(early))).rejects.toThrow(/EPIPE|destroyed|closed/);
});

it("tells what a target said that failed, and ends its source at once", async () => {
  for (const endsByItself of [true, false]) {
    const source = shell("printf abc; exec sleep 50");
    const flowed = flow(source, shell("echo no such table >&2; exit 1"), { endsByItself });
    await expect(flowed).rejects.toThrow("no such table");
    await expect(source.ended).rejects.toThrow("SIGKILL");
  }
});

it("never tells a target the end of a source that failed", async () => {
  const target = shell('cat > "$FOLDER/got" && mv "$FOLDER/got" "$FOLDER/whole"');
  const flowed = flow(shell("printf abc; echo connection lost >&2; exit 1"), target);
  await expect(flowed).rejects.toThrow("connection lost");
  await expect(target.ended).rejects.toThrow("SIGKILL");
  expect(existsSync(join(folder, "whole"))).toBe(false);
});
