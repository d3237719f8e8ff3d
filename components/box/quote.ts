/** Words that need no quotes in a POSIX shell. */
const plain = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** One shell command from its words; whatever a word holds reaches the program byte for byte. The only place that quotes. */
export function shellCommand(...words: readonly string[]): string {
  return words.map((word) => (plain.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" ");
}
