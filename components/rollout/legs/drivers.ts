import type { LegAddress, LegDriver } from "../leg.ts";

/** The driver of a leg's target; each kind brings its own libraries, so it is loaded when it is needed. */
export async function driverOf(address: LegAddress): Promise<LegDriver> {
  switch (address.kind) {
    case "box":
      return (await import("../../box/driver.ts")).boxDriver(address);
    case "cluster":
      return (await import("../../cluster/driver.ts")).clusterDriver(address);
    case "edge":
      return (await import("../../edge/driver.ts")).edgeDriver(address);
  }
}
