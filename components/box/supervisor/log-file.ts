import { closeSync, openSync } from "node:fs";
import { appendFile, open, stat, truncate } from "node:fs/promises";

/**
 * Log of one unit. The process writes to the file itself, so it goes on when the supervisor dies; the file is only
 * ever appended to, so it can be cut under a living writer.
 */

/** Size at which a log is cut, and what is kept of it, in bytes. */
const longest = 1 << 20;
const kept = 1 << 18;

/** Opens for a child's output; the caller closes. */
export function openLog(file: string): number {
  return openSync(file, "a", 0o600);
}

export { closeSync as closeLog };

/** A line of the supervisor's own among those of the process. */
export async function note(file: string, text: string): Promise<void> {
  await appendFile(file, `[switchyard] ${text}\n`, { mode: 0o600 });
}

/** The last lines, oldest first; none where nothing was ever logged. */
export async function lastLines(file: string, lines: number): Promise<string[]> {
  return (await tail(file)).split("\n").filter(Boolean).slice(-lines);
}

/** Cuts a log that has grown too long to its last quarter of a megabyte. */
export async function boundLog(file: string): Promise<void> {
  const size = await stat(file).then(
    (found) => found.size,
    () => 0,
  );
  if (size <= longest) return;
  const text = await tail(file);
  await truncate(file, 0);
  await appendFile(file, text.slice(text.indexOf("\n") + 1));
}

async function tail(file: string): Promise<string> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, "r");
  } catch {
    return "";
  }
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, kept);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } finally {
    await handle.close();
  }
}
