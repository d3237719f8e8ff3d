import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

/** Longest path of a unix socket that every system takes, in bytes (macOS: 104, its ending NUL included). */
const longestSocketPath = 100;

/** Where the supervisor of a local box keeps what is its own. */
export function placesOf(root: string) {
  const folder = join(resolve(root), "supervisor");
  return {
    folder,
    /** What should run and what did, so that a killed supervisor's successor finds it. */
    memory: join(folder, "memory.json"),
    claims: join(folder, "claims"),
    logs: join(folder, "logs"),
    log: join(folder, "supervisor.log"),
    socket: socketPath(folder),
  };
}

export type Places = ReturnType<typeof placesOf>;

/** Beside the rest, or where that path is too long for a socket, in a folder of the user's in the temporary folder. */
export function socketPath(folder: string, temporary = tmpdir()): string {
  const beside = join(folder, "control.sock");
  if (Buffer.byteLength(beside) < longestSocketPath) return beside;
  const name = createHash("sha256").update(folder).digest("hex").slice(0, 16);
  return join(temporary, `switchyard-${process.getuid?.() ?? 0}`, name);
}

/** The temporary folder is everybody's: a socket in a folder that somebody else made there is not trusted. */
export function requireOwnFolder(socket: string): void {
  const found = statSync(dirname(socket), { throwIfNoEntry: false });
  if (!found || found.uid === process.getuid?.()) return;
  throw new Error(
    `${dirname(socket)} belongs to another user (uid ${found.uid}): remove it, or choose a shorter root`,
  );
}
