import { describe, expect, it } from "vitest";
import {
  type Asked,
  type Checklist,
  ChecklistError,
  goThrough,
  type Item,
  tableOf,
} from "../../components/box/toolkit/checklist.ts";
import { items } from "../../components/box/toolkit/checklist-items.ts";
import { debugSettings } from "../../components/box/toolkit/checklist-settings.ts";
import type { Host } from "../../components/box/toolkit/host.ts";
import type { ReleaseManifest } from "../../components/rollout/manifest.ts";

/** DEI-1 without a box: the table and its rules. Each item on a real one: test/box/deia-checklist.test.ts. */

const same = (text: string) => text;

function item(number: number, found: string, ok = true, more: Partial<Item> = {}): Item {
  return {
    number,
    title: `item ${number}`,
    allowed: () => "fine",
    look: async () => ({ found, ok }),
    ...more,
  };
}

const nothing = {} as Asked;

describe("going through a list", () => {
  it("has a row for each item, in order, also for one that throws", async () => {
    const thrown = item(2, "", true, { look: () => Promise.reject(new Error("no\n  answer")) });
    const rows = await goThrough([item(3, "late"), item(1, "here"), thrown], nothing, same);
    expect(rows.map(({ number, found, state }) => `${number} ${found} ${state}`)).toEqual([
      "1 here ok",
      "2 no answer failed",
      "3 late ok",
    ]);
  });

  it("tries what leaves something behind only when all else has passed", async () => {
    let tried = 0;
    const backup = item(1, "", true, {
      last: true,
      look: async () => {
        tried += 1;
        return { found: "made", ok: true };
      },
    });
    const [refused] = await goThrough([backup, item(2, "bad", false)], nothing, same);
    expect([refused?.state, tried]).toEqual(["not tried", 0]);
    const [made] = await goThrough([backup, item(2, "good")], nothing, same);
    expect([made?.state, tried]).toEqual(["ok", 1]);
  });

  it("shows no secret and no whole log", async () => {
    const long = `s3cret ${"x".repeat(500)}`;
    const rows = await goThrough([item(1, long)], nothing, (text) => text.replaceAll("s3cret", "[secret]"));
    expect(rows[0]?.found).toMatch(/^\[secret\] x+…$/);
    expect(rows[0]?.found.length).toBe(160);
  });
});

it("is one table, and says in its first line what failed", () => {
  const rows = [
    { number: 1, title: "first", found: "a", allowed: "b", state: "ok" },
    { number: 10, title: "tenth item", found: "nobody", allowed: "somebody", state: "failed" },
  ] as const;
  expect(tableOf(rows)).toBe(
    [
      "    item        found   allowed",
      "1   first       a       b         ok",
      "10  tenth item  nobody  somebody  failed",
    ].join("\n"),
  );
  const [first] = new ChecklistError("deia", "v2", rows).message.split("\n");
  expect(first).toBe(
    "deia v2 is not deployed, nothing has changed: 1 of 2 items of its checklist failed (10 tenth item)",
  );
});

describe("the fifteen items", () => {
  const checklist: Checklist = {
    units: {},
    connectionsBelow: 10,
    freeGigabytes: 0,
    certificateDays: 30,
    variables: ["JWT_SECRET", "DATABASE_URL", "OLLAMA_URL"],
    answers: {},
    answerDays: 7,
  };
  const host = { stateDirectory: "/nowhere/state", releasesDirectory: "/tmp" } as Host;

  function asked(environment: ReleaseManifest["environment"], more: Partial<Checklist> = {}): Asked {
    const service = { name: "controller", environment: { LOG_LEVEL: "debug" } };
    const manifest = { environment, system: "deia", release: "v2", services: [service], checks: {} };
    return {
      host,
      checklist: { ...checklist, ...more },
      delivery: { manifest: manifest as unknown as ReleaseManifest, secrets: {} },
    };
  }

  it("all have their row in development, where what is not there is not asked for", async () => {
    const rows = await goThrough(items, asked("development"), same);
    expect(rows.map(({ number, state }) => `${number} ${state}`)).toEqual(
      Array.from({ length: 15 }, (_, index) => `${index + 1} ok`),
    );
    expect(rows[6]?.found).toBe("nobody has answered (development)");
    expect(rows[8]?.found).toBe("LOG_LEVEL=debug (development)");
  });

  it("are all asked for elsewhere: nothing configured, nothing passes that needs it", async () => {
    const rows = await goThrough(items, asked("production"), same);
    const failed = rows.filter(({ state }) => state === "failed").map(({ number }) => number);
    expect(failed).toEqual([1, 2, 5, 7, 8, 9, 11, 12, 13, 14, 15]);
    expect(rows[3]?.state).toBe("not tried");
    expect(rows[11]?.found).toBe("no value for JWT_SECRET, DATABASE_URL, OLLAMA_URL");
    expect(rows[14]?.allowed).toBe("deia:answers.v2.approval, at most 7 days old");
  });

  it.each([
    ["this morning's", 0.2, "ok"],
    ["last month's", 30, "failed"],
    ["tomorrow's", -1, "failed"],
  ])("%s answer is %s days old", async (_name, days, state) => {
    const at = new Date(Date.now() - days * 86_400_000).toISOString();
    const answers = { v2: { approval: { by: "Ada", at, reference: "CHG-1" } } };
    // Development is lenient with what is missing, not with what is wrong.
    const rows = await goThrough(items, asked("development", { answers }), same);
    expect(rows[14]).toMatchObject({ state, found: `Ada, ${at}: CHG-1` });
  });

  it("an answer for another release is none", async () => {
    const at = new Date().toISOString();
    const answers = { v1: { approval: { by: "Ada", at, reference: "CHG-1" } } };
    const rows = await goThrough(items, asked("staging", { answers }), same);
    expect(rows[14]).toMatchObject({ state: "failed", found: "nobody has answered" });
  });
});

it.each<[Record<string, string>, string[]]>([
  [{ LOG_LEVEL: "info", DEBUG: "0", NODE_ENV: "production", SOME_DEBUGGER: "1" }, []],
  [{ DEBUG: "*" }, ["DEBUG=*"]],
  [{ APP_DEBUG: "true", DEBUG_MODE: "on" }, ["APP_DEBUG=true", "DEBUG_MODE=on"]],
  [{ LOG_LEVEL: "TRACE", LOGLEVEL: "debug" }, ["LOG_LEVEL=TRACE", "LOGLEVEL=debug"]],
  [{ NODE_ENV: "development" }, ["NODE_ENV=development"]],
])("debug settings of %o are %o", (settings, found) => {
  expect(debugSettings(settings)).toEqual(found);
});
