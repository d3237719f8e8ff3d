import { describe, expect, test } from "vitest";
import { ConfigError } from "../../stacks/config/errors.ts";
import { rawConfig, readStackConfig } from "../../stacks/config/read.ts";

const development = {
  "chrono:box": "local",
  "chrono:source": '{"git":".switchyard/example.git"}',
  "chrono:live": "v1",
  "chrono:releases": '{"v1":{"colour":"blue"}}',
};

const production = {
  "chrono:box": '{"host":"nexus.example","user":"deploy","hostKey":"ssh-ed25519 AAAAC3Nza"}',
  "chrono:source": '{"git":"https://git.example/chrono.git"}',
  "chrono:databaseUrl": "postgres://chrono@db/chrono",
  "chrono:redisUrl": "redis://cache",
  "chrono:databaseReplicas": "1",
  "chrono:redisPersistence": "true",
  "switchyard:fingerprintKey": "k".repeat(64),
  "vault:bucket": "switchyard-production",
  "vault:region": "eu-central-1",
  "vault:configuration": '{"git":"https://git.example/boxes.git"}',
  "vault:password": "never lose it",
};
const secrets = ["chrono:databaseUrl", "chrono:redisUrl", "switchyard:fingerprintKey", "vault:password"];

function problemsOf(stack: string, texts: Record<string, string>, secretKeys: string[] = []) {
  try {
    readStackConfig(stack, rawConfig(texts, secretKeys));
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).problems;
  }
  return [];
}

describe("a config that is right", () => {
  test("in development needs neither secrets nor host keys", () => {
    const config = readStackConfig("development", rawConfig(development, []));
    expect(config.chrono).toMatchObject({ box: "local", live: "v1", kept: [], keep: 1, secrets: {} });
    expect(config.chrono.services.api).toEqual({ port: 8080 });
  });

  test("in production before the first release has no live release", () => {
    const config = readStackConfig("production", rawConfig(production, secrets));
    expect(config.chrono.live).toBeUndefined();
    expect(config.chrono.box).toEqual({
      host: "nexus.example",
      port: 22,
      user: "deploy",
      hostKey: "ssh-ed25519 AAAAC3Nza",
    });
  });

  test("leaves the providers' own namespaces alone", () => {
    expect(problemsOf("development", { ...development, "aws:region": "eu-central-1" })).toEqual([]);
  });
});

describe("the vault of an environment", () => {
  const keysOf = (stack: string, texts: Record<string, string>) =>
    problemsOf(stack, texts, secrets).map(({ key }) => key);
  const without = (...names: string[]) =>
    Object.fromEntries(
      Object.entries(production).filter(([key]) => !names.some((one) => key.startsWith(one))),
    );

  test("is read with its defaults and its secrets, apart from every system", () => {
    const { systems, vault } = readStackConfig("production", rawConfig(production, secrets));
    expect(systems).toEqual(["chrono"]);
    expect(vault).toEqual({
      bucket: "switchyard-production",
      region: "eu-central-1",
      retention: { days: 90, mode: "GOVERNANCE" },
      logDays: 30,
      configuration: { git: "https://git.example/boxes.git", branch: "main" },
      secrets: { password: "never lose it" },
    });
  });

  test("is there wherever something is backed up, but in development", () => {
    expect(keysOf("production", without("vault:"))).toEqual(["vault:bucket", "vault:configuration.git"]);
    expect(keysOf("development", development)).toEqual([]);
    expect(readStackConfig("development", rawConfig(development, [])).vault.secrets).toEqual({});
    // A cluster has no configuration to keep, and what has no database has nothing at all.
    const ofVault = (config: Record<string, string>) =>
      keysOf("staging", config).filter((key) => key.startsWith("vault:"));
    expect(ofVault({ "traider:cluster": "local" })).toEqual(["vault:bucket"]);
    expect(ofVault({ "sanctum:cluster": "local" })).toEqual([]);
  });

  test("has every key checked: unknown ones, secrets in clear, numbers", () => {
    expect(keysOf("production", { ...production, "vault:days": "3", "vault:logDays": "0" })).toEqual([
      "vault:logDays",
      "vault:days",
    ]);
    const [problem] = problemsOf(
      "production",
      production,
      secrets.filter((key) => key !== "vault:password"),
    );
    expect(problem).toMatchObject({ key: "vault:password", found: "a value in clear" });
    expect(keysOf("production", { ...without("vault:password"), "chrono:databaseAdminUrl": "x" })).toEqual([
      "chrono:databaseAdminUrl",
      "vault:password",
    ]);
  });
});

describe("a config that is wrong", () => {
  test("names every problem at once, each with key, found, allowed and the command", () => {
    const problems = problemsOf("development", {
      ...development,
      "chrono:kept": '["v9"]',
      "chrono:live": "v7",
      "chrono:colour": "red",
      "chorno:live": "v1",
    });
    expect(problems.map(({ key, found }) => `${key} ${found}`)).toEqual([
      "chorno:live an unknown key",
      "chrono:colour an unknown key",
    ]);
    expect(
      problemsOf("development", { ...development, "chrono:kept": '["v9"]', "chrono:live": "v7" }),
    ).toEqual([
      {
        key: "chrono:live",
        found: "v7",
        allowed: "a release of the pins: v1",
        command: "pulumi config set --stack development chrono:live <value>",
      },
      {
        key: "chrono:kept",
        found: "v9",
        allowed: "releases of the pins: v1",
        command: "pulumi config set --stack development chrono:kept <value>",
      },
    ]);
  });

  test.each([
    ["1.10", "1.1"],
    ["1e5", "100000"],
    ["7", "7"],
  ])("a version that YAML makes a number of (%s) is refused", (_written, parsed) => {
    const releases = JSON.stringify({ [parsed]: {} });
    const keys = problemsOf("development", {
      ...development,
      "chrono:live": parsed,
      "chrono:releases": releases,
    }).map(({ key }) => key);
    expect(keys).toContain("chrono:live");
    expect(keys).toContain(`chrono:releases["${parsed}"]`);
  });

  test("a number in the kept list is refused where it stands", () => {
    const [problem] = problemsOf("development", { ...development, "chrono:kept": "[1.1]" });
    expect(problem).toMatchObject({ key: "chrono:kept[0]", found: "1.1" });
    expect(problem?.allowed).toContain("YAML made a number of it");
  });

  test("production without a pinned host key is refused, with the command that reads it", () => {
    const box = '{"host":"nexus.example","user":"deploy"}';
    const [problem, ...others] = problemsOf("production", { ...production, "chrono:box": box }, secrets);
    expect(others).toEqual([]);
    expect(problem).toMatchObject({ key: "chrono:box.hostKey", found: "nothing" });
    expect(problem?.command).toContain("ssh-keyscan");
  });

  test("a local box outside development is refused", () => {
    const keys = problemsOf("staging", { ...production, "chrono:box": "local" }, secrets).map(
      ({ key }) => key,
    );
    expect(keys).toEqual(["chrono:box"]);
  });

  test("a secret in clear is refused, and its value is not in the message", () => {
    const [problem] = problemsOf("production", production, secrets.slice(1));
    expect(problem).toEqual({
      key: "chrono:databaseUrl",
      found: "a value in clear",
      allowed: "a secret",
      command: "pulumi config set --stack production --secret chrono:databaseUrl",
    });
  });

  test("missing secrets of production are all named", () => {
    const { "chrono:databaseUrl": _, "switchyard:fingerprintKey": __, ...rest } = production;
    expect(problemsOf("production", rest, secrets).map(({ key }) => key)).toEqual([
      "chrono:databaseUrl",
      "switchyard:fingerprintKey",
    ]);
  });

  test("production declares its replicas and its persistence, and no less than the document's (CHR-9)", () => {
    const { "chrono:databaseReplicas": _, "chrono:redisPersistence": __, ...rest } = production;
    expect(problemsOf("production", rest, secrets)).toEqual([
      {
        key: "chrono:databaseReplicas",
        found: "nothing",
        allowed: "how many replicas stream from production's database, 1 or more",
        command: "pulumi config set --stack production chrono:databaseReplicas 1",
      },
      {
        key: "chrono:redisPersistence",
        found: "nothing",
        allowed: 'true: production\'s Redis keeps its data, "appendonly yes"',
        command: "pulumi config set --stack production chrono:redisPersistence true",
      },
    ]);
    const less = { ...rest, "chrono:databaseReplicas": "0", "chrono:redisPersistence": "false" };
    expect(problemsOf("production", less, secrets).map(({ key, found }) => `${key} ${found}`)).toEqual([
      "chrono:databaseReplicas 0",
      "chrono:redisPersistence false",
    ]);
    const wrong = { ...rest, "chrono:databaseReplicas": "one", "chrono:redisPersistence": "aof" };
    expect(problemsOf("production", wrong, secrets).map(({ key, allowed }) => `${key} ${allowed}`)).toEqual([
      "chrono:databaseReplicas a number of replicas: 1",
      "chrono:redisPersistence true or false",
    ]);
  });

  test("staging and development may declare them, of what is there to be asked", () => {
    const { "chrono:databaseReplicas": _, "chrono:redisPersistence": __, ...staging } = production;
    expect(problemsOf("staging", staging, secrets)).toEqual([]);
    expect(problemsOf("staging", production, secrets)).toEqual([]);
    const declared = {
      ...development,
      "chrono:databaseReplicas": "1",
      "chrono:redisPersistence": "true",
    };
    expect(problemsOf("development", declared).map(({ key, command }) => `${key}: ${command}`)).toEqual([
      "chrono:databaseUrl: pulumi config set --stack development --secret chrono:databaseUrl",
      "chrono:redisUrl: pulumi config set --stack development --secret chrono:redisUrl",
    ]);
    const nothing = { ...development, "chrono:databaseReplicas": "0", "chrono:redisPersistence": "false" };
    expect(problemsOf("development", nothing)).toEqual([]);
  });

  test("an unknown stack is refused", () => {
    expect(problemsOf("qa", development)).toMatchObject([{ key: "stack", found: "qa" }]);
  });

  test("the message is one a person can act on", () => {
    let message = "";
    try {
      readStackConfig("development", rawConfig({ ...development, "chrono:live": "v7" }, []));
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toBe(
      "the config of stack development has one problem; nothing was changed\n" +
        "  chrono:live: found v7; allowed: a release of the pins: v1\n" +
        "    pulumi config set --stack development chrono:live <value>",
    );
  });
});
