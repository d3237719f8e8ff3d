/**
 * Property values as they come over the wire: plain JSON with a few envelopes (a secret, an asset, "not known yet").
 * What the engine sends in an envelope goes back in it, so that a secret input is a secret output.
 */

/** The key that marks an object as an envelope. */
const signature = "4dabf18193072939515e22adb298388d";
const secretMark = "1b47061264138c4ac30d75fd1eb44270";
const assetMark = "c44067f5952c0a294b673a41bacd8c17";
const archiveMark = "0def7320c3a5731c473e5ecbe6d01bc7";

/** Stands for a value that a preview cannot know; the engine knows four more, for other types. */
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const unknowns = new Set([
  unknown,
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
  "030794c1-ac77-496b-92df-f27374a8bd58",
  "e48ece36-62e2-4504-bad9-02848725956a",
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
]);

export type Value = null | boolean | number | string | readonly Value[] | { readonly [key: string]: Value };
export type Properties = { readonly [key: string]: Value };

export interface Asset {
  readonly hash?: string;
  readonly path?: string;
  readonly text?: string;
  readonly uri?: string;
}
export interface Archive {
  readonly hash?: string;
  readonly path?: string;
  readonly uri?: string;
  readonly assets?: Properties;
}

function isObject(value: Value | undefined): value is Properties {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** An object without an envelope: one whose keys are data. */
export function isPlainObject(value: Value | undefined): value is Properties {
  return isObject(value) && !(signature in value);
}

export function isSecret(value: Value | undefined): value is Properties {
  return isObject(value) && value[signature] === secretMark;
}

/** Envelopes a value; one that is enveloped already stays as it is. */
export function secret(value: Value): Value {
  return isSecret(value) ? value : { [signature]: secretMark, value };
}

export function isUnknown(value: Value | undefined): boolean {
  return typeof value === "string" && unknowns.has(value);
}

export function hasUnknown(value: Value | undefined): boolean {
  if (Array.isArray(value)) return value.some(hasUnknown);
  if (isObject(value)) return Object.values(value).some(hasUnknown);
  return isUnknown(value);
}

/** The value without any secret envelope, at any depth; nulls in objects are left out, as the vendor's does. */
export function plain(value: Value): Value {
  if (Array.isArray(value)) return value.map(plain);
  if (isSecret(value)) return plain(value.value ?? null);
  if (!isObject(value)) return value;
  return withoutNulls(Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)])));
}

export function plainProperties(properties: Properties): Properties {
  return plain(properties) as Properties;
}

export function withoutNulls(properties: Properties): Properties {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== null));
}

export function asset(value: Value | undefined): Asset | undefined {
  return isObject(value) && value[signature] === assetMark ? (value as Asset) : undefined;
}

export function archive(value: Value | undefined): Archive | undefined {
  return isObject(value) && value[signature] === archiveMark ? (value as Archive) : undefined;
}

export function assetValue(fields: Asset): Properties {
  return { [signature]: assetMark, ...fields };
}

export function archiveValue(fields: Archive): Properties {
  return { [signature]: archiveMark, ...fields };
}

export function equal(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => equal(item, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const hash = asset(a)?.hash ?? archive(a)?.hash;
  if (hash !== undefined && hash !== "" && a[signature] === b[signature]) return b.hash === hash;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => key in b && equal(a[key], b[key]));
}

/** Keys of a connection that are addresses and names; the whole connection is secret, these are no news to anybody. */
const addressKeys = new Set(["host", "port", "user", "hostKey", "agentSocketPath"]);

/**
 * The texts that must not show in a log or an error: every string inside a secret envelope, whole and line by line
 * (a log is cut into lines). Very short ones are left alone: hiding "ok" everywhere would hide nothing but the log.
 */
export function secretTexts(value: Value): string[] {
  const found = new Set<string>();
  const keep = (text: string): void => {
    if (text.length >= 4) found.add(text);
    for (const line of text.split("\n")) if (line.trim().length >= 8) found.add(line.trim());
  };
  const walk = (current: Value, inside: boolean): void => {
    if (typeof current === "string") {
      if (inside && !isUnknown(current)) keep(current);
    } else if (Array.isArray(current)) {
      for (const item of current) walk(item, inside);
    } else if (isSecret(current)) {
      walk(current.value ?? null, true);
    } else if (isObject(current)) {
      const connection = "host" in current;
      for (const [key, inner] of Object.entries(current)) {
        if (key !== signature && !(connection && addressKeys.has(key))) walk(inner, inside);
      }
    }
  };
  walk(value, false);
  return [...found].sort((a, b) => b.length - a.length);
}
