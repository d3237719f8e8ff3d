import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { lockFile, unlockFile } from "../box/toolkit/exclusive.ts";
import { endProcess, identify, isAlive, type ProcessIdentity } from "../box/toolkit/process-identity.ts";
import { KilledError } from "../rollout/cutover/machine.ts";
import type { EdgeAddress } from "./api.ts";
import { edgeRoot } from "./local/places.ts";

/**
 * Whose turn it is on a Worker, among the processes of this machine: a cutover whose engine was killed may still run
 * here. Cutovers on other machines are kept apart by the stack's lock, and by each other's writes (see FrontWriter).
 */

interface Holder extends ProcessIdentity {
  readonly to: string;
}

/** Ending the holder takes this long at most. */
const endSeconds = 10;

/**
 * Runs `work` alone. A cutover that still runs is waited for, `seconds` at most; where `isUnwanted` says that what it
 * tries must not be, it is ended, and `work` finds what it left.
 */
export async function inTurn<T>(
  address: EdgeAddress,
  to: string,
  { seconds, isUnwanted }: { seconds: number; isUnwanted: (to: string) => Promise<boolean> },
  work: () => Promise<T>,
): Promise<T> {
  const path = turnFile(address);
  await mkdir(folderOf(), { recursive: true, mode: 0o700 });
  const self = await identify(process.pid);
  if (!self) throw new Error("this process cannot find its own start time");
  const file = await lockFile(path, seconds, async () => {
    const holder = await holderOf(path);
    if (holder && (await isAlive(holder)) && (await isUnwanted(holder.to))) {
      await endProcess(holder, endSeconds);
    }
  });
  if (file === null) {
    const holder = await holderOf(path);
    throw new KilledError(`another cutover (process ${holder?.pid}) has not ended within ${seconds} s`);
  }
  try {
    await file.truncate();
    await file.write(JSON.stringify({ ...self, to } satisfies Holder));
    return await work();
  } finally {
    await unlockFile(path, file);
  }
}

/** Whether a cutover of the Worker runs on this machine. */
export async function isRunning(address: EdgeAddress): Promise<boolean> {
  const holder = await holderOf(turnFile(address));
  return holder !== null && (await isAlive(holder));
}

const folderOf = () => join(edgeRoot(), "turns");

/** The manual handle of the bake whose turn it is. */
export const handleFile = (address: EdgeAddress) => `${turnFile(address)}.stop`;

function turnFile({ api, accountId, worker }: EdgeAddress): string {
  const where = createHash("sha256").update(`${api} ${accountId}`).digest("hex").slice(0, 12);
  return join(folderOf(), `${worker}-${where}.json`);
}

/** Null also of a file that its holder is just writing. */
async function holderOf(file: string): Promise<Holder | null> {
  const text = await readFile(file, "utf8").catch(() => "");
  try {
    return JSON.parse(text) as Holder;
  } catch {
    return null;
  }
}
