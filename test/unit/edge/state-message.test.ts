import { expect, test } from "vitest";
import {
  type EdgeState,
  longestMessage,
  packState,
  unpackState,
  untouchedEdge,
} from "../../../components/edge/state-message.ts";
import type { Failure } from "../../../components/rollout/cutover/state.ts";

const failure: Failure = {
  fingerprint: "e8da5e05a7ad",
  release: "v3.0.0",
  step: "bake",
  rule: "errorRate > 1 % for 60 s",
  measured: "20 % (worker)",
  allowed: "≤ 1 % over 60 s",
  evidence: ".switchyard/edge/evidence/x.json",
  journal: [],
  at: "2026-11-21T12:38:45.670Z",
  verdictAt: "2026-11-21T12:38:45.371Z",
};

const full: EdgeState = {
  cutover: {
    confirmed: "db515a1880e8",
    receipt: "rmwqe9jln",
    pending: {
      from: "db515a1880e8",
      to: "e8da5e05a7ad",
      receipt: "rmwqe9jty",
      startedAt: "2026-11-21T12:38:40.001Z",
    },
    baked: ["f01b5fc1c3f5", "db515a1880e8"],
    flipped: {
      from: "f01b5fc1c3f5",
      at: "2026-11-20T01:00:00.000Z",
      by: "ops@desk",
      reason: 'prices "wrong"',
    },
    stuck: "taking traffic back to db515a1880e8 failed three times: 500",
    lastFailure: failure,
  },
  gated: ["f01b5fc1c3f5", "db515a1880e8", "e8da5e05a7ad"],
  armed: "2026-11-21T13:00:00.000Z",
};

const bytes = (message: string) => Buffer.byteLength(message);

test("everything that is remembered comes back as it was", () => {
  expect(unpackState(packState(full))).toEqual(full);
  expect(unpackState(packState(untouchedEdge))).toEqual(untouchedEdge);
});

test("a failure of another leg is remembered as that leg's", () => {
  const cutover = { ...untouchedEdge.cutover, lastFailure: { ...failure, leg: "box" } };
  expect(unpackState(packState({ ...untouchedEdge, cutover }))?.cutover).toEqual(cutover);
});

test("a first release that is pending came from nothing", () => {
  const first = { ...untouchedEdge.cutover, pending: { ...full.cutover.pending!, from: null } };
  const state = { ...untouchedEdge, cutover: first };
  expect(unpackState(packState(state))).toEqual(state);
});

test("an ordinary state with a failure is far from Cloudflare's limit", () => {
  const ordinary = { ...full, cutover: { ...full.cutover, flipped: null, stuck: null, pending: null } };
  expect(bytes(packState(ordinary))).toBeLessThan(longestMessage / 2);
});

test("the longest texts are cut until the message fits, and what decides is never cut", () => {
  const long = 'ü"\\\n😀'.repeat(500);
  const releases = Array.from({ length: 40 }, (_, index) => index.toString(16).padStart(12, "0"));
  const state: EdgeState = {
    cutover: {
      ...full.cutover,
      baked: releases.slice(0, 20),
      stuck: long,
      flipped: { ...full.cutover.flipped!, by: long, reason: long },
      lastFailure: { ...failure, rule: long, measured: long, allowed: long, evidence: long, release: long },
    },
    gated: releases,
    armed: full.armed,
  };
  const message = packState(state);
  expect(bytes(message)).toBeLessThanOrEqual(longestMessage);
  const { cutover, gated, armed } = unpackState(message)!;
  expect(cutover).toMatchObject({
    confirmed: full.cutover.confirmed,
    receipt: full.cutover.receipt,
    pending: full.cutover.pending,
    flipped: { from: full.cutover.flipped?.from, at: full.cutover.flipped?.at },
    lastFailure: { fingerprint: failure.fingerprint, step: "bake", verdictAt: failure.verdictAt },
  });
  expect(cutover.stuck).toMatch(/^ü"/);
  expect(armed).toBe(full.armed);
  expect(gated.length).toBeGreaterThanOrEqual(8);
  expect(gated.at(-1)).toBe(releases.at(-1));
});

test("a release that serves keeps its mark, however many came after it", () => {
  const later = Array.from({ length: 40 }, (_, index) => index.toString(16).padStart(12, "a"));
  const state = { ...full, gated: [...full.gated, ...later] };
  const { gated, cutover } = unpackState(packState(state))!;
  expect(gated).toContain(full.cutover.confirmed);
  expect(cutover.baked).toContain(full.cutover.confirmed);
});

test.each([
  undefined,
  "",
  "Automatic deployment on upload.",
  "switchyard {not json",
])("the message %j is somebody else's", (message) => {
  expect(unpackState(message)).toBeNull();
});
