import { link, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { identify, isAlive, type ProcessIdentity } from "../toolkit/process-identity.ts";
import { machineBoot } from "./machine-boot.ts";

/**
 * At most one supervisor a state directory, without file locks, which Node and macOS have not in common. Claims are
 * files with rising numbers; the highest one counts. One is only added while the highest belongs to a dead process,
 * it appears whole under its number or not at all (`link`), and the highest is never removed, so no number comes
 * twice and who was overtaken between looking and adding sees a higher one.
 */

interface Claim extends ProcessIdentity {
  readonly boot: string;
}

/** Claims the folder for this process. Returns whether it is this process's now. */
export async function claimFor(folder: string): Promise<boolean> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const self = await identify(process.pid);
  if (!self) throw new Error("this process cannot find its own start time");
  const highest = (await numbers(folder)).at(-1) ?? 0;
  if (highest > 0 && (await livingClaim(folder, highest))) return false;

  const draft = join(folder, `draft-${process.pid}`);
  await writeFile(draft, JSON.stringify({ ...self, boot: await machineBoot() } satisfies Claim));
  try {
    await link(draft, join(folder, String(highest + 1)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const after = await numbers(folder);
  if (after.at(-1) !== highest + 1) return false;
  for (const lower of after.slice(0, -1)) await rm(join(folder, String(lower)), { force: true });
  return true;
}

/** The living process that has claimed the folder. */
export async function claimant(folder: string): Promise<ProcessIdentity | null> {
  const highest = (await numbers(folder)).at(-1);
  return highest === undefined ? null : livingClaim(folder, highest);
}

async function livingClaim(folder: string, number: number): Promise<ProcessIdentity | null> {
  let claim: Claim;
  try {
    claim = JSON.parse(await readFile(join(folder, String(number)), "utf8"));
  } catch (error) {
    // Removed since it was listed: a higher one is there now, and its owner found this one dead.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return claimant(folder);
    throw error;
  }
  return claim.boot === (await machineBoot()) && (await isAlive(claim)) ? claim : null;
}

async function numbers(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((one, other) => one - other);
}
