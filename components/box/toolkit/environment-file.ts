/**
 * The environment of a process as a file: NAME="value" a line, in the part of systemd's EnvironmentFile grammar in
 * which every value can be written. systemd reads it on a box, `readEnvironmentFile` in development, and both must
 * hand the process the same bytes (CHR-13).
 */

/** Longest NAME=value that Linux passes to a process, in bytes, its ending NUL included. */
const longestEntry = 128 * 1024;

/**
 * Text of an environment file, in the order given. Inside double quotes systemd (and a POSIX shell) gives only
 * `" \ ` $` a meaning, so only these are escaped; a newline stands for itself.
 *
 * Throws for what no process could receive: a name that is none, a NUL byte, what is no Unicode text, an entry longer
 * than 128 KiB.
 */
export function environmentFile(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => {
      checkEntry(name, value);
      return `${name}="${value.replace(/["\\`$]/g, "\\$&")}"\n`;
    })
    .join("");
}

/** What `environmentFile` wrote. Throws, with the line's number, at anything it would not have written. */
export function readEnvironmentFile(text: string): Record<string, string> {
  const values: [name: string, value: string][] = [];
  const entry = /([A-Za-z_][A-Za-z0-9_]*)="([^"\\`$]*(?:\\["\\`$][^"\\`$]*)*)"\n/y;
  while (entry.lastIndex < text.length) {
    const at = entry.lastIndex;
    const [, name, quoted] = entry.exec(text) ?? [];
    if (name === undefined || quoted === undefined) {
      const line = text.slice(0, at).split("\n").length;
      throw new Error(
        `environment file, line ${line}: expected NAME="value" with " \\ \` $ escaped by a backslash`,
      );
    }
    values.push([name, quoted.replace(/\\(["\\`$])/g, "$1")]);
  }
  return Object.fromEntries(values);
}

/** The value itself never appears in an error: it may be a secret. */
function checkEntry(name: string, value: string): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    throw new Error(
      `"${name}" cannot name an environment variable: letters, digits and _, not first a digit`,
    );
  }
  if (value.includes("\0")) throw new Error(`${name}: an environment variable cannot hold a NUL byte`);
  // systemd takes neither for text and then refuses the whole file, so the process would not start at all.
  if (/[\p{Surrogate}\p{Noncharacter_Code_Point}]/u.test(value)) {
    throw new Error(
      `${name}: its value is no Unicode text (half a surrogate pair, or a code point that is none)`,
    );
  }
  const bytes = Buffer.byteLength(`${name}=${value}`) + 1;
  if (bytes > longestEntry) {
    throw new Error(
      `${name}: ${bytes} bytes, and Linux passes at most ${longestEntry} in one environment variable`,
    );
  }
}
