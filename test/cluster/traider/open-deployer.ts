import { findPlugins } from "../../../engine/plugins.ts";
import { byEngine } from "./by-engine.ts";
import { byHand } from "./by-hand.ts";
import type { Deployer } from "./deployer.ts";
import type { World } from "./world.ts";

/** The engine with the vendor's plugin where that is on the machine, else its part played by hand; said by name. */
export async function openDeployer(world: World): Promise<Deployer> {
  const plugins = await findPlugins(process.env);
  const vendors = plugins.find(({ name }) => name === "kubernetes")?.source === "vendor";
  const deployer = vendors ? await byEngine(world) : byHand(world);
  process.stderr.write(`TRAIDER is deployed by ${deployer.name}\n`);
  return deployer;
}
