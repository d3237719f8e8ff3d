/**
 * A small program with the shape of the real one: per release preflight (its delete takes the release away) and place,
 * per system one cutover, healed from what the "world" (a folder) confirms. Copied into a project of its own by
 * `project.ts`.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

interface Entry {
  readonly version?: string;
  readonly settings?: unknown;
  readonly fingerprint?: string;
}

export const live: Record<string, string> = {};
if (existsSync("broken-program")) throw new Error("the program itself is broken");
for (const system of ["alpha", "beta"]) {
  const config = new pulumi.Config(system);
  const wanted = config.get("live");
  if (wanted === undefined) continue;
  live[system] = wanted;
  const releases = config.requireObject<Record<string, Entry>>("releases");
  const kept = config.getObject<string[]>("kept") ?? [];
  let last: pulumi.Resource[] = [];
  const placed = [wanted, ...kept].map((name) => {
    const entry = releases[name]!;
    const settings = entry.settings ?? config.getObject("settings") ?? null;
    const text = JSON.stringify([name, entry.version ?? name, settings]);
    const fingerprint = entry.fingerprint ?? createHash("sha256").update(text).digest("hex").slice(0, 12);
    const world = (verb: string) => `sh world.sh ${verb} ${system} ${name} ${fingerprint}`;
    const preflight = new local.Command(
      `${system}-${name}-${fingerprint}-preflight`,
      { create: world("preflight"), delete: world("remove"), stdin: JSON.stringify(settings) },
      { ignoreChanges: ["*"] },
    );
    const place = new local.Command(
      `${system}-${name}-${fingerprint}-place`,
      { create: world("place") },
      { dependsOn: [preflight], ignoreChanges: ["*"] },
    );
    last = [...last, place];
    return fingerprint;
  });
  new local.Command(
    `${system}-cutover`,
    { create: `sh world.sh cutover ${system} ${wanted} ${placed[0]}`, stdin: receipt(system, placed[0]!) },
    { dependsOn: last },
  );
}

/** As the real one heals: the world's own receipt where it serves what is wanted, a new one where it does not. */
function receipt(system: string, wanted: string): string {
  const read = (name: string) => (existsSync(name) ? readFileSync(name, "utf8").trim() : "");
  const confirmed = read(`world/${system}/confirmed`);
  return confirmed === wanted ? read(`world/${system}/receipt`) : `r${Date.now()}`;
}
