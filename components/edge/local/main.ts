import { stat } from "node:fs/promises";
import { claimFor } from "../../box/supervisor/claim.ts";
import { LocalEdge } from "./edge.ts";
import { listenForApi } from "./http-api.ts";
import { placesOf } from "./places.ts";

/**
 * The process of the local edge: `main.ts <root>`. Exits at once where another one has the folder; else it serves until
 * it is stopped, or its folder is gone.
 */
const [root = ""] = process.argv.slice(2);
const places = placesOf(root);

if (await claimFor(places.claims)) {
  const edge = await LocalEdge.begin(places);
  const end = () => void edge.stop().finally(() => process.exit(0));
  await listenForApi(places.socket, edge, end);
  process.once("SIGTERM", end);
  process.once("SIGINT", end);
  setInterval(async () => {
    // Whoever removed the folder meant everything in it.
    if (!(await stat(places.folder).catch(() => null))) end();
  }, 2000).unref();
}
