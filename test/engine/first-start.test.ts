import { afterAll, beforeAll, expect, test } from "vitest";
import { isScalar, visit } from "yaml";
import { Checkout } from "../support/checkout.ts";
import { freePort } from "../support/free-port.ts";

/**
 * What README promises first: a new checkout, one command, all five systems live on this machine. The stack is the
 * committed one of development, but for its ports: others may be taken.
 */
let checkout: Checkout;

beforeAll(async () => {
  checkout = new Checkout({ systems: ["chrono", "deia", "pod", "sanctum", "traider"], without: [] });
  const ports = await Promise.all(Array.from({ length: 16 }, freePort));
  checkout.editConfig((document) => {
    visit(document, {
      Pair: (_, { key, value }) => {
        if (isScalar(key) && key.value === "port" && isScalar(value)) value.value = ports.pop();
      },
    });
    // Those of POD's services are defaults, and not in the file.
    for (const service of ["api", "mcp", "frontend"])
      document.setIn(["config", `pod:${service}`, "port"], ports.pop());
  });
});
afterAll(async () => {
  await checkout.start(["components/box/switchyard-box.sh", "shutdown"]).ended;
  checkout.remove();
});

test("the first `start` brings all five systems up, each answering where it says", async () => {
  const { code, output } = await checkout.switchyard("start");
  expect(code, output).toBe(0);
  for (const system of ["chrono", "deia", "pod", "sanctum", "traider"])
    expect(output).toContain(`${system}: v1 is live`);
  const addresses = [...output.matchAll(/^ {2}(\w+ \w+) +(http:\/\/127\.0\.0\.1:\d+)$/gm)];
  const answers = addresses.map(async ([, name, url = ""]) => {
    const response = await fetch(url);
    return [name, response.status, response.headers.get("x-release") ?? (await response.text())];
  });
  expect(await Promise.all(answers)).toEqual([
    ["chrono api", 200, "v1"],
    ["chrono dashboard", 200, "v1"],
    ["chrono workers", 200, "v1"],
    ["deia controller", 200, "v1"],
    ["pod api", 200, "v1"],
    ["pod frontend", 200, expect.stringContaining("<h1>v1</h1>")],
    ["pod mcp", 200, "v1"],
    ["sanctum auth", 200, "v1"],
    ["sanctum directory", 200, "v1"],
    ["sanctum messaging", 200, "v1"],
    ["traider backend", 200, "v1"],
    ["traider frontend", 200, "v1"],
  ]);
});

test("the second one has nothing to do", async () => {
  const { code, output } = await checkout.switchyard("start");
  expect(code, output).toBe(0);
  expect(output).toContain("nothing to do");
});

test("`destroy` takes everything away: nothing answers any more", async () => {
  const { code, output } = await checkout.switchyard("destroy", "--yes");
  expect(code, output).toBe(0);
  for (const port of Object.values(portsOf(checkout.readConfig())))
    await expect(fetch(`http://127.0.0.1:${port}`), `port ${port}`).rejects.toThrow();
});

function portsOf(config: unknown): number[] {
  if (typeof config !== "object" || config === null) return [];
  return Object.entries(config).flatMap(([key, value]) =>
    key === "port" ? [Number(value)] : portsOf(value),
  );
}
