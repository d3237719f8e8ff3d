import { expect, it, test } from "vitest";
import { errorLines, newLines } from "../../components/box/toolkit/maintenance-journal.ts";
import { fingerprint } from "../../components/rollout/fingerprint.ts";
import type { KeyPath } from "../../stacks/config/advice.ts";
import { type DeiaConfig, deiaChecks, deiaSchema } from "../../stacks/deia.config.ts";
import { type DeiaStack, deiaManifest, deiaPolicy } from "../../stacks/deia.ts";

/** DEIA's config and what a release renders to. */

const local = { box: "local", source: { git: ".switchyard/example.git" } };
const remote = {
  box: { host: "deia.example", hostKey: "ssh-ed25519 AAAA" },
  source: { git: "https://git.example/deia.git" },
  ollama: "http://localhost:11434",
};
const secrets = { databaseUrl: "postgres://deia:pw@localhost/deia_prod", jwtSecret: "token-key" };

function stack(
  environment: DeiaStack["environment"],
  given: object,
  values: DeiaConfig["secrets"] = {},
): DeiaStack {
  return { environment, fingerprintKey: "key", deia: { ...deiaSchema.parse(given), secrets: values } };
}

/** Problems of a config, as `key: found`. */
function problems(
  environment: DeiaStack["environment"],
  given: object,
  values: DeiaConfig["secrets"] = secrets,
) {
  const said: string[] = [];
  const problem = (key: KeyPath, found: string) => said.push(`${[key].flat().join(".")}: ${found}`);
  deiaChecks({ ...deiaSchema.parse(given), secrets: values }, { environment, problem });
  return said;
}

test.each([
  ["development", stack("development", local), "9fda6aa77ff9"],
  ["production", stack("production", remote, secrets), "78bd83315679"],
] as const)("DEIA's rendering in %s does not change by itself: a new figure here re-renders every release", (_name, given, golden) => {
  expect(fingerprint(deiaManifest(given, "v1.0.0", {}))).toBe(golden);
});

it("is one controller, never active twice, behind port 8000, moved in a window", () => {
  const manifest = deiaManifest(stack("production", remote, secrets), "v1.0.0", {});
  expect(
    manifest.services.map(({ name, kind, door, stopSeconds }) => [name, kind, door, stopSeconds]),
  ).toEqual([["controller", "singleton", 8000, 30]]);
  expect(manifest.maintenance).toEqual({
    flag: "/var/lib/deia/MAINTENANCE_MODE",
    drainBelow: 5,
    drainSeconds: 120,
    journalSeconds: 30,
    database: { path: "/health/db", belowMilliseconds: 50 },
    smoke: { path: "/api/bot/launch", body: { bot_id: "TEST-BOT-SMOKE" } },
  });
  expect(manifest.services[0]?.environment).toEqual({
    NODE_ENV: "production",
    OLLAMA_URL: "http://localhost:11434",
  });
  expect(JSON.stringify(manifest)).not.toContain("token-key");
  expect(Object.keys(manifest.services[0]?.secrets ?? {})).toEqual(["DATABASE_URL", "JWT_SECRET"]);
});

it("asks in production for what the document asks for; answers make no other release", () => {
  const answered = {
    ...remote,
    answers: { v1: { approval: { by: "Ada", at: "2026-11-21T09:30:00Z", reference: "CHG-1" } } },
  };
  const [before, after] = [remote, answered].map((given) => stack("production", given, secrets));
  expect(deiaPolicy(before!).checklist).toEqual({
    units: { postgres: "postgresql", ollama: "ollama", redis: "redis-server" },
    ollama: "http://localhost:11434",
    connectionsBelow: 10,
    freeGigabytes: 10,
    certificate: "/etc/ssl/certs/port8000.crt",
    certificateDays: 30,
    variables: ["JWT_SECRET", "DATABASE_URL", "OLLAMA_URL"],
    answers: {},
    answerDays: 7,
  });
  expect(deiaPolicy(after!).checklist?.answers).toEqual(answered.answers);
  expect(deiaManifest(after!, "v1", {})).toEqual(deiaManifest(before!, "v1", {}));
});

it.each([
  ["2026-11-21T09:30:00Z", "2026-11-21T09:30:00Z"],
  ["2026-11-21 14:33:55.762 +0000 UTC", "2026-11-21T14:33:55.762+00:00"],
  ["2026-11-21 14:33:55 -0600 CST", "2026-11-21T14:33:55-06:00"],
])("takes the time of an answer as a person or the engine writes it: %s", (given, expected) => {
  const answers = { v1: { approval: { by: "Ada", at: given, reference: "x" } } };
  expect(deiaSchema.parse({ ...local, answers }).answers.v1?.approval?.at).toBe(expected);
});

it("has no problem with a whole config, and many with a developer's in production", () => {
  expect(problems("production", remote)).toEqual([]);
  expect(problems("development", local, {})).toEqual([]);
  const developers = {
    ...local,
    settings: { LOG_LEVEL: "debug" },
    releases: { v1: { settings: { DEBUG: "1" } }, v2: { settings: { "controller.DEBUG": "1" } } },
    checklist: { connectionsBelow: 50, freeGigabytes: 1, certificateDays: 1 },
  };
  expect(problems("production", developers, {})).toEqual([
    'box: "local"',
    "databaseUrl: nothing",
    "jwtSecret: nothing",
    "ollama: nothing",
    "settings: LOG_LEVEL=debug",
    "releases.v1.settings: DEBUG=1",
    "releases.v2.settings: DEBUG=1",
    "checklist.connectionsBelow: 50",
    "checklist.freeGigabytes: 1",
    "checklist.certificateDays: 1",
  ]);
  const unpinned = { ...remote, box: { host: "deia.example" } };
  expect(problems("staging", unpinned)).toEqual(["box.hostKey: nothing"]);
});

it.each([
  ["a flag where a service has a folder of its own", { maintenance: { flag: "/tmp/MAINTENANCE" } }],
  ["a flag that leaves its folder", { maintenance: { flag: "/var/lib/../../tmp/x" } }],
  ["more connections than the document drains to", { maintenance: { drainBelow: 6 } }],
  [
    "a day without its time",
    { answers: { v1: { approval: { by: "Ada", at: "2026-11-21", reference: "x" } } } },
  ],
  [
    "nobody's answer",
    { answers: { v1: { approval: { by: "", at: "2026-11-21T09:30:00Z", reference: "x" } } } },
  ],
  ["an answer to a question nobody asked", { answers: { v1: { lunch: {} } } }],
])("refuses %s", (_what, given) => {
  expect(deiaSchema.safeParse({ ...local, ...given }).success).toBe(false);
});

it.each<[string[], string[], string[]]>([
  [[], ["a"], ["a"]],
  [["a", "b"], ["a", "b"], []],
  [["a", "b"], ["b", "c"], ["c"]],
  [
    ["a", "b"],
    ["c", "d"],
    ["c", "d"],
  ],
  [["x", "x"], ["x", "x", "x"], ["x"]],
])("after %o, of %o only %o is new", (before, now, expected) => {
  expect(newLines(before, now)).toEqual(expected);
});

it("takes a line for an error that tells of one, and not one that tells of none", () => {
  const lines = [
    "ready, 0 errors",
    "started without error",
    "an unexceptional start, errorless",
    "Error: no bots",
    "ERROR database",
    "0 errors before, 1 error now",
    "TypeError: bots is undefined",
    "UnhandledPromiseRejection",
    "panic: index",
    "Main process exited, code=exited, status=1/FAILURE",
  ];
  expect(errorLines(lines)).toEqual([
    "Error: no bots",
    "ERROR database",
    "0 errors before, 1 error now",
    "TypeError: bots is undefined",
    "UnhandledPromiseRejection",
    "panic: index",
    "Main process exited, code=exited, status=1/FAILURE",
  ]);
});
