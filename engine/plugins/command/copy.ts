/** Copies a file, a text or a folder to another host over SFTP. */
import { readdir, stat } from "node:fs/promises";
import { posix } from "node:path";
import type { Client, SFTPWrapper, Stats } from "ssh2";
import type { Log } from "../protocol/log.ts";
import { archive, asset, type Value } from "../protocol/values.ts";
import { type Connection, dial } from "./connection.ts";

export interface CopyInputs {
  readonly connection: Connection;
  readonly source: Value;
  readonly remotePath: string;
}

/** What tells whether a source changed: the engine's hash of its content. */
export function sourceHash(source: Value | undefined): string | undefined {
  return (asset(source) ?? archive(source))?.hash;
}

/**
 * | source  | remote path is a folder | is not there      | is a file   |
 * |---------|-------------------------|-------------------|-------------|
 * | file    | into it                 | there, with parents | overwritten |
 * | folder  | into it, by its name    | made, and into it | error       |
 * | folder/ | what it holds, into it  | the same          | error       |
 * | text    | error                   | there, with parents | overwritten |
 *
 * An archive file (.tgz, .zip) is copied as it is. Nothing is ever deleted.
 */
export async function copyToRemote(inputs: CopyInputs, log: Log, signal: AbortSignal): Promise<void> {
  const { client, lost, close } = await dial(inputs.connection, log, signal);
  try {
    await Promise.race([copyOver(await openSftp(client), inputs), lost]);
  } finally {
    close();
    await log.flush();
  }
}

async function copyOver(sftp: SFTPWrapper, { source, remotePath }: CopyInputs): Promise<void> {
  const text = asset(source)?.text;
  const path = (asset(source) ?? archive(source))?.path;
  const there = await remoteStat(sftp, remotePath);
  if (path === undefined) {
    if (there?.isDirectory()) {
      throw new Error(`remote path ${remotePath} is a folder; a text needs the path of a file`);
    }
    await makeFolders(sftp, posix.dirname(remotePath));
    await writeText(sftp, remotePath, text ?? "");
    return;
  }
  if ((await stat(path)).isDirectory()) {
    if (there === undefined) await makeFolders(sftp, remotePath);
    const target = path.endsWith("/") ? remotePath : posix.join(remotePath, posix.basename(path));
    await copyFolder(sftp, path, target);
  } else if (there?.isDirectory()) {
    await copyFile(sftp, path, posix.join(remotePath, posix.basename(path)));
  } else {
    await makeFolders(sftp, posix.dirname(remotePath));
    await copyFile(sftp, path, remotePath);
  }
}

async function copyFolder(sftp: SFTPWrapper, from: string, to: string): Promise<void> {
  const there = await remoteStat(sftp, to);
  if (there === undefined) await makeFolder(sftp, to);
  else if (!there.isDirectory()) throw new Error(`remote path ${to} exists but is not a folder`);
  const entries = await readdir(from, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const copy = entry.isDirectory() ? copyFolder : copyFile;
    await copy(sftp, posix.join(from, entry.name), posix.join(to, entry.name));
  }
}

async function makeFolders(sftp: SFTPWrapper, path: string): Promise<void> {
  if (path === "." || path === "/" || (await remoteStat(sftp, path))?.isDirectory()) return;
  await makeFolders(sftp, posix.dirname(path));
  await makeFolder(sftp, path);
}

function openSftp(client: Client): Promise<SFTPWrapper> {
  return new Promise((resolve, reject) => {
    client.sftp((error, sftp) => {
      if (error) reject(new Error(`ssh: the host offers no sftp: ${error.message}`));
      else resolve(sftp);
    });
  });
}

function remoteStat(sftp: SFTPWrapper, path: string): Promise<Stats | undefined> {
  return new Promise((resolve, reject) => {
    sftp.stat(path, (error, found) => {
      // 2 = no such file
      if (error === undefined || error === null) resolve(found);
      else if ((error as unknown as { code?: number }).code === 2) resolve(undefined);
      else reject(new Error(`failed to stat remote path ${path}: ${error.message}`));
    });
  });
}

function makeFolder(sftp: SFTPWrapper, path: string): Promise<void> {
  return done(`failed to create remote folder ${path}`, (callback) => sftp.mkdir(path, callback));
}

function copyFile(sftp: SFTPWrapper, from: string, to: string): Promise<void> {
  return done(`failed to copy ${from} to remote path ${to}`, (callback) => sftp.fastPut(from, to, callback));
}

function writeText(sftp: SFTPWrapper, path: string, text: string): Promise<void> {
  return done(`failed to write remote path ${path}`, (callback) => sftp.writeFile(path, text, callback));
}

function done(what: string, act: (callback: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    act((error) => {
      if (error === undefined || error === null) resolve();
      else reject(new Error(`${what}: ${error.message}`));
    });
  });
}
