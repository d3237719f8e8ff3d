import { text } from "node:stream/consumers";
import type { LegAddress } from "../leg.ts";
import { cutOverLegs, LegFailure, withdrawLegs } from "./cutover.ts";
import { driverOf } from "./drivers.ts";

/**
 * What the runner does for a system over several legs: `cutover <system> <release> <fingerprint>` and
 * `withdraw <system>`, with { receipt, legs: [{ name, address }] } on standard input. No credentials travel: they are
 * the runner's own.
 */
async function main([verb, system = "", , fingerprint = ""]: string[]): Promise<void> {
  const input = JSON.parse(await text(process.stdin)) as {
    receipt: string;
    legs: { name: string; address: LegAddress }[];
  };
  const drivers = await Promise.all(
    input.legs.map(async ({ name, address }) => ({
      name,
      driver: await driverOf(address),
    })),
  );
  if (verb === "cutover") {
    await cutOverLegs(drivers, { to: fingerprint, receipt: input.receipt }).catch((error: Error) => {
      throw error instanceof LegFailure ? new Error(`${system} ${error.message}`) : error;
    });
  } else if (verb === "withdraw") await withdrawLegs(drivers);
  else throw new Error(`there is no verb "${verb}"; there are: cutover, withdraw`);
}

const [verb, ...rest] = process.argv.slice(2);
main([verb ?? "", ...rest]).then(
  () => process.stdout.write(`${JSON.stringify({ done: verb })}\n`, () => process.exit(0)),
  (error: Error) => process.stderr.write(`${error.message}\n`, () => process.exit(1)),
);
