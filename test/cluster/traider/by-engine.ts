import { Checkout } from "../../support/checkout.ts";
import type { Deployer } from "./deployer.ts";
import { entryOf, fingerprintKey, traiderConfig, type World } from "./world.ts";

/** The real engine with the vendor's plugin: `pulumi up` of the development stack, its `traider:cluster` the test's. */
export async function byEngine(world: World): Promise<Deployer> {
  const { cluster, images, secrets, environment } = world;
  const checkout = new Checkout({ systems: [], environment });
  checkout.editConfig((document) => {
    for (const [key, value] of Object.entries(traiderConfig(cluster)))
      document.setIn(["config", `traider:${key}`], value);
  });
  const stack = ["--stack", "development"];
  for (const { code, output } of [
    await checkout.pulumi("stack", "init", ...stack),
    await checkout.setSecret("traider:jwtSecret", secrets.jwtSecret),
    await checkout.setSecret("switchyard:fingerprintKey", fingerprintKey),
  ])
    if (code !== 0) throw new Error(output);
  return {
    name: "the engine with the vendor's kubernetes plugin",
    async deploy({ live, kept, bakeSeconds }) {
      const { known } = await world.observe();
      // The pins record the fingerprint of what was placed: it stays what it was.
      const recorded = (name: string) => known.find(({ release, placed }) => placed && release === name);
      checkout.editConfig((document) => {
        const releases = [live, ...kept].map((pin) => {
          const { name, colour } = pin;
          const fingerprint = recorded(name)?.fingerprint;
          return [name, { ...entryOf(images, pin), colour, ...(fingerprint ? { fingerprint } : {}) }];
        });
        document.setIn(["config", "traider:bake"], traiderConfig(cluster, bakeSeconds).bake);
        document.setIn(["config", "traider:live"], live.name);
        document.setIn(
          ["config", "traider:kept"],
          kept.map(({ name }) => name),
        );
        document.setIn(["config", "traider:releases"], Object.fromEntries(releases));
      });
      const { code, output } = await checkout.pulumi("up", ...stack, "--yes", "--skip-preview");
      return { ok: code === 0, said: code === 0 ? "" : output };
    },
    async rotate(value) {
      secrets.jwtSecret = value;
      const { code, output } = await checkout.setSecret("traider:jwtSecret", value);
      if (code !== 0) throw new Error(output);
    },
    end: async () => checkout.remove(),
  };
}
