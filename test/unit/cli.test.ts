import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Failure } from "../../components/rollout/cutover/state.ts";
import { switchyard } from "../../operations/main.ts";
import { commitOfTag } from "../../operations/tag.ts";
import type { Observation, Targets } from "../../operations/targets.ts";

let checkout: string;
const flips: unknown[] = [];
const stops: unknown[] = [];
const observed: Observation = {
  running: false,
  intact: true,
  confirmed: "222222222222",
  pending: null,
  receipt: null,
  placed: [
    { fingerprint: "111111111111", release: "v1", receipt: "a" },
    { fingerprint: "222222222222", release: "v2", receipt: "b" },
  ],
  lastFailure: null,
  stuck: null,
  flipped: null,
  serving: [{ door: "chrono-api-8080", release: "v2" }],
};
let found: Observation = observed;
const targets: Targets = {
  observe: async () => ({ chrono: found }),
  flip: async (...words) => {
    flips.push(words);
  },
  stop: async (...words) => {
    stops.push(words);
  },
  arm: async () => {},
  resolve: async () => {},
};

const config = `config:
  chrono:source: { git: ./source, tag: "release/{version}" }
  chrono:settings: { LEVEL: info }
  chrono:live: v2
  chrono:kept: [v1]
  chrono:releases:
    v1: { version: v1, colour: blue }
    v2: { version: v2, colour: green, fingerprint: "222222222222" }
    v3: { version: v3, bad: "bake: crash" }
`;

beforeEach(async () => {
  checkout = await mkdtemp(join(tmpdir(), "switchyard-cli-"));
  flips.length = 0;
  stops.length = 0;
  found = observed;
  await writeFile(
    join(checkout, "Pulumi.yaml"),
    "name: trial\nruntime: nodejs\nbackend: { url: 'file://./state' }\n",
  );
  await writeFile(join(checkout, "Pulumi.development.yaml"), config);
});
afterEach(() => rm(checkout, { recursive: true }));

/** Everything short of the engine: a command that comes to need it fails the test. */
async function run(...words: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const environment = { ...process.env, SWITCHYARD_USER: "ana", SWITCHYARD_STACK: undefined };
  const engine = async () => ({ command: "/no/engine/here", environment });
  const surroundings = { checkout, environment, stdout, stderr, engine, targets: async () => targets };
  const code = await switchyard(words, surroundings);
  return { code, out: String(stdout.read() ?? ""), err: String(stderr.read() ?? "") };
}

const stackText = () => readFile(join(checkout, "Pulumi.development.yaml"), "utf8");

function tag(...names: string[]): void {
  const git = (...words: string[]) =>
    execFileSync(
      "git",
      ["-c", "user.name=a", "-c", "user.email=a@b.c", "-C", join(checkout, "source"), ...words],
      { stdio: "pipe" },
    )
      .toString()
      .trim();
  execFileSync("git", ["init", "--quiet", join(checkout, "source")]);
  git("commit", "--quiet", "--allow-empty", "--message", "one");
  for (const name of names) git("tag", name);
  git("tag", "--annotate", "--message", "words", "release/noted");
}

describe("the command line", () => {
  it("lists its commands", async () => {
    const { code, out } = await run("--help");
    expect(code).toBe(0);
    const names = [...out.matchAll(/^ {2}([a-z-]+)(?: \[| <|\s)/gm)].map(([, name]) => name);
    expect(names).toEqual(
      "up preview release rollback flip stop history status recover doctor start destroy integration check-service help".split(
        " ",
      ),
    );
  });

  it("answers words it does not know with exit 2 and the way to help", async () => {
    const { code, err } = await run("up", "--bogus");
    expect({ code, err }).toEqual({
      code: 2,
      err: "error: unknown option '--bogus'\n(switchyard --help lists the commands)\n",
    });
    expect((await run("deploy")).code).toBe(2);
  });

  it("says everything as objects with --json, errors too", async () => {
    const { code, out, err } = await run("release", "pod", "v1", "--json");
    const text = `unknown system "pod": the stack's config names chrono`;
    expect(code).toBe(1);
    expect(err).toBe("");
    expect(
      out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { type: "error", text },
      { type: "result", result: "refused", reason: text },
    ]);
  });

  it("names a stack that has no config", async () => {
    const { code, err } = await run("status", "--stack", "prodution");
    expect(code).toBe(1);
    expect(err).toBe(
      `${join(checkout, "Pulumi.prodution.yaml")} does not exist: stack "prodution" has no config; name another with --stack\n`,
    );
  });

  it("refuses arguments of start that are no release, before anything else", async () => {
    const { code, err } = await run("start", "chrono:v2");
    expect({ code, err }).toEqual({
      code: 1,
      err: '"chrono:v2" is no release: say <system>=<version>, for example chrono=v2\n',
    });
  });

  it("destroys nothing without being armed, or without a yes", async () => {
    await writeFile(join(checkout, "Pulumi.production.yaml"), config);
    expect((await run("destroy", "--yes", "--stack", "production")).err).toBe(
      'destroying "production" would stop what serves: say --arm --yes if that is meant. Nothing was changed.\n',
    );
    expect((await run("destroy")).err).toBe(
      "say --yes to destroy the stack's resources. Nothing was changed.\n",
    );
  });

  it("takes only the number of a stack version for --to", async () => {
    expect((await run("rollback", "--to", "v2")).err).toBe(
      "--to v2: expected the number of a stack version, as `switchyard history` shows it\n",
    );
  });
});

describe("stop", () => {
  const stopped: Failure = {
    ...{ fingerprint: "333333333333", release: "v3", step: "bake", rule: "emergencyStop" },
    ...{ measured: "wrong prices (ana)", allowed: "none", journal: [], evidence: "/var/lib/evidence.json" },
    ...{ at: "2026-01-05T03:00:00.000Z", verdictAt: "2026-01-05T03:00:00.000Z" },
  };

  it("ends the bake on the targets, changes no pins, and says what serves", async () => {
    found = { ...observed, lastFailure: stopped };
    const { code, out } = await run("stop", "chrono", "--reason", "wrong prices");
    expect(code).toBe(0);
    expect(stops).toEqual([["chrono", { by: expect.stringMatching(/^ana@/), reason: "wrong prices" }]]);
    expect(out).toMatch(
      /^chrono: stopped, what serves: v2, confirmed \(chrono-api-8080 v2\) \(\d\.\d s\)\n$/,
    );
    expect(await stackText()).toBe(config);
  });

  it("says that it came too late where the release was confirmed first, and how to leave it", async () => {
    const { code, out, err } = await run("stop", "chrono", "--reason", "wrong prices");
    expect(code).toBe(1);
    expect(out).toBe("");
    expect(err).toMatch(/^chrono: too late, the release was confirmed before the stop reached it; /);
    expect(err).toContain(
      "what serves: v2, confirmed (chrono-api-8080 v2); `switchyard flip chrono --stack development` leaves it",
    );
  });
});

describe("check-service", () => {
  it("says each line of the contract with what was found, and what was expected where it is broken", async () => {
    const server = createServer((_, response) => response.end("well")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, out } = await run("check-service", origin).finally(() => {
      server.closeAllConnections();
      server.close();
    });
    expect(code).toBe(1);
    expect(out.split("\n").slice(0, 2)).toEqual(["✓ health               200", "✓ requests             200"]);
    expect(out).toContain("✗ metrics              not Prometheus text");
    expect(out).toContain("expected: /metrics answers Prometheus text");
    expect(out).toContain(`${origin} does not keep the contract\n`);
  });

  it.each(["127.0.0.1:3000", "ftp://127.0.0.1", "http://127.0.0.1:3000/api"])("refuses %s", async (url) => {
    expect(await run("check-service", url)).toEqual({
      code: 1,
      out: "",
      err: `found "${url}", expected scheme, host and port such as http://127.0.0.1:3000; a path is given by --path\n`,
    });
  });
});

describe("release", () => {
  it("freezes the version with its commit and today's settings, and says what is next", async () => {
    tag("release/v4");
    const { code, out } = await run("release", "chrono", "v4");
    expect(code).toBe(0);
    expect(out).toBe("chrono: v4 is to be live, v2 kept\nnext: switchyard up --stack development\n");
    const commit = execFileSync("git", ["-C", join(checkout, "source"), "rev-parse", "HEAD"])
      .toString()
      .trim();
    expect(await stackText()).toMatch(
      new RegExp(
        `v4:\n      version: v4\n      commit: "?${commit}"?\n      settings:\n        LEVEL: info\n      colour: blue\n`,
      ),
    );
  });

  it("changes nothing for a tag that is not there, a bad release or a repository that is none", async () => {
    tag("release/v3");
    expect((await run("release", "chrono", "v9")).err).toBe(
      "./source has no tag release/v9: push it (git push origin release/v9), or name another version\n",
    );
    expect((await run("release", "chrono", "v3")).err).toBe(
      "chrono v3 is marked bad (bake: crash): say --allow-bad to try it again all the same\n",
    );
    await rm(join(checkout, "source"), { recursive: true });
    expect((await run("release", "chrono", "v9")).err).toMatch(
      /^the tag release\/v9 cannot be looked up in \.\/source: fatal: /,
    );
    expect(await stackText()).toBe(config);
  });

  it("follows an annotated tag to its commit", async () => {
    tag();
    const commit = execFileSync("git", ["-C", join(checkout, "source"), "rev-parse", "HEAD"])
      .toString()
      .trim();
    const source = { git: "./source", tag: "release/{version}" };
    expect(await commitOfTag(source, "noted", checkout, process.env)).toBe(commit);
    expect(
      await commitOfTag({ artifact: "https://x/{version}.tgz" }, "v1", checkout, process.env),
    ).toBeNull();
  });
});

describe("status and flip", () => {
  it("status shows pins and target side by side, and exits 1 only where they differ", async () => {
    const agreeing = await run("status");
    expect(agreeing).toEqual({
      code: 0,
      err: "",
      out: `✓ chrono: pins say v2; target confirms v2; chrono-api-8080 answers with v2
    kept     v1
    bad      v3: bake: crash
`,
    });
    await writeFile(
      join(checkout, "Pulumi.development.yaml"),
      config.replace("live: v2", "live: v1").replace("[v1]", "[]"),
    );
    const differing = await run("status");
    expect(differing.code).toBe(1);
    expect(differing.out).toMatch(/^✗ chrono: pins say v1; target confirms v2; /);
  });

  it("flip moves traffic to the kept release on the target, then writes the pins", async () => {
    const { code, out } = await run("flip", "chrono", "--reason", "errors");
    expect(code).toBe(0);
    expect(out).toMatch(
      /^chrono: traffic goes to v1 \([\d.]+ s\)\nThe pins say so too; the next `switchyard up` records it/,
    );
    expect(flips).toEqual([
      ["chrono", "111111111111", { by: expect.stringMatching(/^ana@/), reason: "errors" }],
    ]);
    expect(await stackText()).toBe(config.replace("live: v2", "live: v1").replace("[v1]", "[v2]"));
  });

  it("flip does not guess where the target serves another release than the pins name", async () => {
    const back = config.replace("live: v2", "live: v1").replace("[v1]", "[v0]");
    await writeFile(
      join(checkout, "Pulumi.development.yaml"),
      back.replace("    v2:", "    v0: {}\n    v2:"),
    );
    const { code, err } = await run("flip", "chrono");
    expect({ code, err }).toEqual({
      code: 1,
      err: [
        "chrono serves v2, and the pins say v1: say where traffic is to go. Nothing was moved.",
        "  switchyard flip chrono --to v1 --stack development",
        "  switchyard flip chrono --to v0 --stack development\n",
      ].join("\n"),
    });
    expect(flips).toEqual([]);
    expect((await run("flip", "chrono", "--to", "v1")).code).toBe(0);
    expect(flips).toEqual([
      ["chrono", "111111111111", expect.objectContaining({ reason: "flipped by hand" })],
    ]);
  });

  it("flip leaves the pins alone when the target refuses", async () => {
    const flip = targets.flip;
    targets.flip = async () => {
      throw new Error("v1 is not healthy: GET /health answered 503");
    };
    const { code, err } = await run("flip", "chrono").finally(() => {
      targets.flip = flip;
    });
    expect({ code, err }).toEqual({ code: 1, err: "v1 is not healthy: GET /health answered 503\n" });
    expect(await stackText()).toBe(config);
  });

  it("flip does not go where nothing is kept", async () => {
    expect((await run("flip", "chrono", "--to", "v0")).err).toBe(
      "chrono does not keep v0: kept is v1; an older one comes back with `switchyard rollback --to N`\n",
    );
    expect(flips).toEqual([]);
  });
});
