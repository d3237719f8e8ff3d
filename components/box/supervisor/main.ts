import { stat } from "node:fs/promises";
import { claimFor } from "./claim.ts";
import { codeHash } from "./code-hash.ts";
import { listenForControl } from "./control.ts";
import { placesOf } from "./places.ts";
import { Supervisor } from "./supervisor.ts";

/**
 * The supervisor's process: `main.ts <root> <toolkit words…>`. Exits at once where another one has the folder; else
 * it runs until it is stopped, or its folder is gone.
 */
const [root = "", ...toolkit] = process.argv.slice(2);
const places = placesOf(root);

if (await claimFor(places.claims)) {
  await codeHash();
  const supervisor = await Supervisor.begin(root, places, toolkit);
  const end = () => void supervisor.stop().finally(() => process.exit(0));
  await listenForControl(places.socket, supervisor, () => process.exit(0));
  process.once("SIGTERM", end);
  process.once("SIGINT", end);
  setInterval(async () => {
    // Whoever removed the folder meant everything in it.
    if (await stat(places.folder).catch(() => null)) return;
    supervisor.forget();
    end();
  }, 2000).unref();
}
