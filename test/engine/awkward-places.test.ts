import { mkdirSync, readFileSync, renameSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseDocument } from "yaml";
import { Checkout, type Ended } from "../support/checkout.ts";
import { freePort } from "../support/free-port.ts";

/**
 * Where people's checkouts are: in a folder with a blank, a percent sign, a hash and an accent in its name, behind a
 * proxy that answers nothing, with a stack file that is a link, then one that is mounted there.
 */
let checkout: Checkout;
let shared: string;

beforeAll(async () => {
  const proxy = "http://127.0.0.1:9";
  const environment = { http_proxy: proxy, https_proxy: proxy, HTTP_PROXY: proxy, HTTPS_PROXY: proxy };
  checkout = new Checkout({ folder: "a b%20c#é", environment });
  const ports = [await freePort(), await freePort()];
  checkout.editConfig((document) => {
    for (const service of ["api", "dashboard"])
      document.setIn(["config", "chrono:services", service, "port"], ports.pop());
    document.setIn(["config", "chrono:bake"], { seconds: 2, shortSeconds: 1, healthSeconds: 10 });
  });
  const folder = join(checkout.directory, "shared");
  mkdirSync(folder);
  shared = join(folder, "development.yaml");
  renameSync(join(checkout.directory, "Pulumi.development.yaml"), shared);
  symlinkSync("shared/development.yaml", join(checkout.directory, "Pulumi.development.yaml"));
});
afterAll(async () => {
  await checkout.start(["components/box/switchyard-box.sh", "shutdown"]).ended;
  checkout.remove();
});

test("the first `start` brings Chrono up, and the linked stack file is written where it is", async () => {
  const { code, output } = await checkout.switchyard("start");
  expect(code, output).toBe(0);
  expect(output).toContain("chrono: v1 is live");
  expect(pins().live).toBe("v1");
  expect(pins().releases.v1?.fingerprint).toMatch(/^[0-9a-f]{12}$/);
});

test("a release whose stack file is mounted over the checkout's is deployed and recorded", async () => {
  const { code, output } = await overMounted("operations/switchyard.sh", "start", "chrono=v2");
  expect(code, output).toBe(0);
  expect(output).toContain("chrono: v2 is live");
  expect(pins()).toMatchObject({ live: "v2", kept: ["v1"] });
  expect(pins().releases.v2?.fingerprint).toMatch(/^[0-9a-f]{12}$/);
});

test("a stack file that cannot be written is refused before anything is deployed", async () => {
  const readOnly = `mount -o remount,bind,ro "$PWD/mounted.yaml"`;
  const { code, output } = await overMounted(
    "sh",
    "-c",
    `${readOnly} && operations/switchyard.sh start chrono=v1`,
  );
  expect(code).not.toBe(0);
  expect(output).toContain(
    "Pulumi.development.yaml cannot be written (EROFS), and what is deployed is recorded there. Nothing was changed.",
  );
  expect(pins().live).toBe("v2");
});

/** Runs words where the stack's file is a mount of its own, which nothing can be renamed over. */
function overMounted(...words: readonly string[]): Promise<Ended> {
  const mount = [
    `cd "${checkout.directory}"`,
    "touch mounted.yaml",
    'mount --bind shared/development.yaml "$PWD/mounted.yaml"',
    "ln -sfn mounted.yaml Pulumi.development.yaml",
    'exec "$@"',
  ].join(" && ");
  // Whoever is not root may mount in a user namespace of their own.
  const user = process.getuid?.() === 0 ? [] : ["--map-root-user"];
  return checkout.start(["unshare", ...user, "--mount", "sh", "-c", mount, "sh", ...words]).ended;
}

interface Pins {
  readonly live: string;
  readonly kept: readonly string[];
  readonly releases: Readonly<Record<string, { readonly fingerprint?: string }>>;
}

function pins(): Pins {
  const { config } = parseDocument(readFileSync(shared, "utf8")).toJS() as { config: Record<string, never> };
  return {
    live: config["chrono:live"]!,
    kept: config["chrono:kept"]!,
    releases: config["chrono:releases"]!,
  };
}
