import { writeFileSync } from "node:fs";

/**
 * What the names of an environment stand for while a test runs: loopback addresses, for the test's own programs only.
 *
 * @param file where the names are written
 * @returns words that run a program which finds them
 */
export function namesAre(file: string, addresses: ReadonlyMap<string, string>): readonly string[] {
  const lines = [...addresses].map(([name, address]) => `${address} ${name}\n`);
  writeFileSync(file, `127.0.0.1 localhost\n${lines.join("")}`);
  const script = 'mount --bind "$0" /etc/hosts && exec "$@"';
  return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, file];
}
