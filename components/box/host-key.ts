/** A pinned host key: one line as in known_hosts or authorized_keys, with or without what stands around the key. */
import type { ServerHostKeyAlgorithm } from "ssh2";

export interface HostKey {
  /** The key as the server sends it. */
  readonly blob: Buffer;
  /** What to ask the server for, so that it shows this key and not another of its own. */
  readonly algorithms: ServerHostKeyAlgorithm[];
}

/** @throws where the text holds no public key */
export function hostKeyOf(text: string): HostKey {
  const words = text.trim().split(/\s+/);
  for (const [index, word] of words.entries()) {
    const blob = Buffer.from(words[index + 1] ?? "", "base64");
    if (/^(ssh|ecdsa)-/.test(word) && typeOf(blob) === word) {
      // An RSA key signs by any of three, the oldest of which servers refuse by now.
      const algorithms = word === "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"] : [word];
      return { blob, algorithms: algorithms as ServerHostKeyAlgorithm[] };
    }
  }
  throw new Error("failed to parse host key: expected `ssh-ed25519 AAAA…`, as `ssh-keyscan` prints it");
}

const kinds: readonly ServerHostKeyAlgorithm[] = [
  ...(["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"] as const),
  ...(["rsa-sha2-512", "rsa-sha2-256"] as const),
];

/**
 * Every kind, that of the pinned key first: a host that has it shows it, and of another host one sees which key it has.
 * @param text a pinned key; of one that cannot be read nothing is known
 */
export function pinnedFirst(text: string | undefined): ServerHostKeyAlgorithm[] {
  const pinned = algorithmsOf(text);
  return [...pinned, ...kinds.filter((kind) => !pinned.includes(kind))];
}

function algorithmsOf(text: string | undefined): ServerHostKeyAlgorithm[] {
  try {
    return text === undefined ? [] : hostKeyOf(text).algorithms;
  } catch {
    return [];
  }
}

function typeOf(blob: Buffer): string {
  if (blob.length < 4) return "";
  const length = blob.readUInt32BE(0);
  return blob.subarray(4, 4 + length).toString("latin1");
}
