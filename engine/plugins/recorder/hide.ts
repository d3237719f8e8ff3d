/** What may be written down of a property value: everything but secrets, the unknown, and long texts. */
import { createHash } from "node:crypto";
import {
  archive,
  asset,
  isPlainObject,
  isSecret,
  isUnknown,
  type Properties,
  type Value,
} from "../protocol/values.ts";

/** The value as it goes into the journal and the world. */
export function hidden(value: Value): Value {
  if (Array.isArray(value)) return value.map(hidden);
  if (isSecret(value)) return "[secret]";
  if (isUnknown(value)) return "[unknown]";
  if (typeof value === "string") {
    return value.length <= longest ? value : `[${value.length} characters, sha256 ${shortHash(value)}]`;
  }
  const file = asset(value) ?? archive(value);
  if (file !== undefined) return `[asset ${file.hash?.slice(0, 12) ?? file.path ?? ""}]`;
  return isPlainObject(value) ? hiddenProperties(value) : value;
}

export function hiddenProperties(properties: Properties): Properties {
  return Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, hidden(value)]));
}

const longest = 4_096;

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
