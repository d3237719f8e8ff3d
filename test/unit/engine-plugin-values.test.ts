import { describe, expect, it } from "vitest";
import { hostKeyOf } from "../../components/box/host-key.ts";
import { check } from "../../engine/plugins/command/check.ts";
import { globPattern } from "../../engine/plugins/command/files.ts";
import { quoted } from "../../engine/plugins/command/output.ts";
import { resources } from "../../engine/plugins/command/schema.ts";
import { changes } from "../../engine/plugins/protocol/diff.ts";
import { hiding } from "../../engine/plugins/protocol/log.ts";
import { assetValue, plain, secret, secretTexts, unknown } from "../../engine/plugins/protocol/values.ts";

const remote = resources["command:remote:Command"] ?? {};

describe("what changed between inputs", () => {
  const paths = (olds: Parameters<typeof changes>[0], news: Parameters<typeof changes>[1]) =>
    changes(olds, news, (path) => path.length === 1 && path[0] === "triggers").map(
      ({ path, kind, replaces }) => `${kind} ${path}${replaces ? " replaces" : ""}`,
    );

  it("names elements and keys, and leaves the replacing of elements to the SDK", () => {
    expect(
      paths(
        { create: "a", environment: { A: "1", B: "2", "c.d": "3" }, triggers: ["x", "y"], __internal: "1" },
        { create: "a", environment: { A: "2", C: "2", "c.d": "4" }, triggers: ["x", "z", "+"], stdin: "new" },
      ),
    ).toEqual([
      "update environment.A",
      "delete environment.B",
      'update environment["c.d"]',
      "add environment.C",
      "update triggers[1]",
      "add triggers[2]",
      "add stdin",
    ]);
    expect(paths({}, { triggers: ["x"] })).toEqual(["add triggers replaces"]);
    expect(paths({ triggers: ["x"] }, {})).toEqual(["delete triggers replaces"]);
  });

  it("takes a secret as one value, and an asset by its hash", () => {
    expect(paths({ connection: secret({ host: "a" }) }, { connection: secret({ host: "b" }) })).toEqual([
      "update connection",
    ]);
    expect(paths({ stdin: "a" }, { stdin: secret("a") })).toEqual(["update stdin"]);
    const file = (hash: string, path: string) => ({ source: assetValue({ hash, path }) });
    expect(paths(file("1", "/a"), file("1", "/b"))).toEqual([]);
    expect(paths(file("1", "/a"), file("2", "/a"))).toEqual(["update source"]);
  });
});

describe("checked inputs", () => {
  it("get a connection's defaults, are sealed where the schema says so, and lose what it does not know", () => {
    const { inputs, failures } = check(remote, {
      create: "true",
      unheardOf: 1,
      connection: { host: "h", privateKey: "k", proxy: { host: "p", port: 2222 } },
    });
    expect(failures).toEqual([]);
    const defaults = { user: "root", port: 22, dialErrorLimit: 10, perDialTimeout: 15 };
    expect(inputs).toEqual({
      create: "true",
      connection: secret({
        ...defaults,
        host: "h",
        privateKey: secret("k"),
        proxy: { ...defaults, host: "p", port: 2222 },
      }),
    });
  });

  it("are refused with every failure at once", () => {
    const { failures } = check(remote, {
      create: 3,
      logging: "loud",
      environment: secret({ A: 1 }),
      connection: { port: "22" },
    });
    expect(failures.map(({ property }) => property)).toEqual([
      "create",
      "logging",
      "environment",
      "connection.host",
      "connection.port",
    ]);
  });

  it("pass where a preview does not know them yet", () => {
    expect(
      check(remote, { create: unknown, environment: { A: unknown }, connection: secret(unknown) }),
    ).toEqual({
      inputs: { create: unknown, environment: { A: unknown }, connection: secret(unknown) },
      failures: [],
    });
  });
});

describe("secrets", () => {
  const inputs = {
    stdin: secret("line one of it\nline two of it\n"),
    environment: { A: secret("variable"), B: "public" },
    connection: secret({
      host: "host.example",
      user: "deploy",
      privateKey: secret("KEY-TEXT"),
      password: "pass",
    }),
  };

  it("are opened for the command, at any depth", () => {
    expect(plain(inputs)).toMatchObject({
      environment: { A: "variable", B: "public" },
      connection: { host: "host.example", privateKey: "KEY-TEXT" },
    });
  });

  it("are hidden whole and line by line; a connection's address is none", () => {
    const hide = hiding(secretTexts(inputs));
    expect(hide("got line two of it, variable and public, KEY-TEXT by deploy@host.example, pass")).toBe(
      "got [secret], [secret] and public, [secret] by deploy@host.example, [secret]",
    );
  });
});

it.each([
  ["*.txt", ["a.txt"], ["a/b.txt", "a.md"]],
  ["a/**", ["a/b", "a/b/c.txt"], ["a", "b/a/c"]],
  ["**secret.*", ["secret.js", "x/y/secret.txt"], ["secret"]],
  ["{a,b}?.[jt]s", ["a1.js", "b2.ts"], ["c1.js", "a/.js", "a1.xs"]],
  ["[!a-c].txt", ["d.txt"], ["a.txt", "/.txt"]],
  ["a\\*b+(c)", ["a*b+(c)"], ["axb+(c)"]],
])("the glob %s", (glob, matching, others) => {
  const matches = (path: string) => globPattern(glob).test(path);
  expect([matching.filter(matches), others.filter(matches)]).toEqual([matching, []]);
});

it("a glob that never closes is refused", () => {
  expect(() => globPattern("[abc")).toThrow("opens a bracket");
  expect(() => globPattern("{a,b")).toThrow("opens a brace");
});

it("a command is quoted on one line", () => {
  expect(quoted('echo "a\tb"\n\\ \u0001 ünï')).toBe('"echo \\"a\\tb\\"\\n\\\\ \\x01 ünï"');
});

describe("a pinned host key", () => {
  const key = "AAAAC3NzaC1lZDI1NTE5AAAAIJfRzWCJzDvzMoZ0eT9tlWyDvMUfZzIMCpDPTz7cJqkT";

  it.each([
    `ssh-ed25519 ${key}`,
    `ssh-ed25519 ${key} root@box`,
    `box,10.0.0.1 ssh-ed25519 ${key}\n`,
  ])("is read from %j", (text) => {
    const { blob, algorithms } = hostKeyOf(text);
    expect([blob.toString("base64").replace(/=+$/, ""), algorithms]).toEqual([key, ["ssh-ed25519"]]);
  });

  it.each(["", "ssh-ed25519", `ssh-rsa ${key}`, key, "SHA256:abcdef"])("is not read from %j", (text) => {
    expect(() => hostKeyOf(text)).toThrow("failed to parse host key");
  });
});
