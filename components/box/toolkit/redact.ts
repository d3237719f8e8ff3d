/** Takes secrets out of what people get to read. Pure. */

const instead = "[secret]";

/** Shorter values are in every text, and tell nothing. */
const shortest = 4;
/** Parts of a secret that is a document: what is shorter is a word like "type" or "true". */
const shortestPart = 8;

/**
 * Replaces every secret by a word: the whole value, each of its lines (a log prints a key line by line), the password of
 * one that is a URL, the parts of one that is JSON; each as it is and in the forms that programs print it in.
 */
export function redactor(secrets: readonly string[]): (text: string) => string {
  const values = new Set(secrets.flatMap(partsOf).flatMap(formsOf));
  const longestFirst = [...values]
    .filter((value) => value.length >= shortest)
    .sort((a, b) => b.length - a.length);
  return (text) => longestFirst.reduce((shown, value) => shown.replaceAll(value, instead), text);
}

/** The same in every text of a value of plain JSON, before it is written: what is escaped is not found any more. */
export function redactAll(redact: (text: string) => string, value: unknown): unknown {
  if (typeof value === "string") return redact(value);
  if (Array.isArray(value)) return value.map((one) => redactAll(redact, one));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [redact(key), redactAll(redact, one)]));
}

function partsOf(secret: string): string[] {
  const lines = secret.split(/\r?\n/).map((line) => line.trim());
  return [secret, secret.trim(), ...lines, ...passwordsOf(secret), ...textsOf(secret)];
}

function passwordsOf(secret: string): string[] {
  if (!URL.canParse(secret)) return [];
  const { password } = new URL(secret);
  return [password, decoded(password)];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Texts inside a secret that is a JSON document: a service account's key, say. */
function textsOf(secret: string): string[] {
  if (!/^\s*[[{]/.test(secret)) return [];
  try {
    return leavesOf(JSON.parse(secret)).filter((text) => text.length >= shortestPart);
  } catch {
    return [];
  }
}

function leavesOf(value: unknown): string[] {
  if (typeof value === "string") return [value, ...value.split(/\r?\n/)];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(leavesOf) : [];
}

/** As it is; inside JSON, and inside JSON within JSON; in a URL; in base64; between a shell's single quotes. */
function formsOf(value: string): string[] {
  const json = escaped(value);
  return [
    value,
    ...[json, escaped(json)],
    ...encodedOf(value),
    Buffer.from(value).toString("base64"),
    value.replaceAll("'", "'\\''"),
  ];
}

function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

function encodedOf(value: string): string[] {
  try {
    return [encodeURIComponent(value), encodeURI(value)];
  } catch {
    // Half of a pair of surrogates has no form in a URL.
    return [];
  }
}
