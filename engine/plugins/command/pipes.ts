/**
 * A child's stdin, stdout and stderr as a shell expects them.
 * Node's own are sockets, and a script that opens /dev/stdin, /dev/stdout or /dev/stderr by name fails on those
 * ("No such device or address"). So stdin is a file in memory without a name, and the outputs are FIFOs.
 */
import { execFile } from "node:child_process";
import { close, constants, open, write } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

// Descriptors, not FileHandles: a handle that is collected closes a descriptor which a socket still uses.
const openFile = promisify(open);
const closeFile = promisify(close);
const writeFile = promisify(write);

export interface Pipes {
  /** For spawn's `stdio`: the child's ends, in order. */
  readonly child: [number, number, number];
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** Closes the child's ends in this process; call it right after spawn, or the outputs never end. */
  release(): Promise<void>;
}

/** @throws where no FIFO can be made in the temporary folder */
export async function openPipes(stdin: string): Promise<Pipes> {
  const folder = await mkdtemp(join(tmpdir(), "switchyard-command-"));
  try {
    const paths = ["1", "2"].map((name) => join(folder, name)) as [string, string];
    await promisify(execFile)("mkfifo", ["-m", "600", ...paths]);
    const input = await inputFile(stdin, folder);
    const output = await outputPipe(paths[0]);
    const errors = await outputPipe(paths[1]);
    return {
      child: [input, output.childEnd, errors.childEnd],
      stdout: output.ownEnd,
      stderr: errors.ownEnd,
      release: async () => {
        await Promise.all([input, output.childEnd, errors.childEnd].map((end) => closeFile(end)));
      },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A nameless file: what stands in it is often secret, and must not be found on a disk later. */
async function inputFile(text: string, fallback: string): Promise<number> {
  if (text === "") return openFile("/dev/null", constants.O_RDONLY);
  const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
  const nameless = await openFile("/dev/shm", O_TMPFILE | constants.O_RDWR, 0o600).catch(() => undefined);
  // No memory file system, as on a Mac: a file in the private folder, which is gone before the command begins.
  const file = nameless ?? (await openFile(join(fallback, "0"), "wx+", 0o600));
  const bytes = Buffer.from(text, "utf8");
  for (let written = 0; written < bytes.length; ) {
    // At a position: the child begins to read where the file begins.
    written += (await writeFile(file, bytes, written, bytes.length - written, written)).bytesWritten;
  }
  return file;
}

/** An end opens at once only where the other end is open already; a non-blocking reader always does. */
async function outputPipe(path: string): Promise<{ readonly ownEnd: Socket; readonly childEnd: number }> {
  const reader = await openFile(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const childEnd = await openFile(path, constants.O_WRONLY);
  return { ownEnd: new Socket({ fd: reader, readable: true, writable: false }), childEnd };
}
