/** Checks inputs against the schema, adds a connection's defaults, and seals what is secret. */

import {
  archive,
  asset,
  isPlainObject,
  isSecret,
  isUnknown,
  type Properties,
  secret,
  type Value,
} from "../protocol/values.ts";
import { connectionDefaults, connectionFields, type Input, type Inputs, loggingValues } from "./schema.ts";

export interface CheckFailure {
  readonly property: string;
  readonly reason: string;
}
export interface Checked {
  readonly inputs: Properties;
  readonly failures: readonly CheckFailure[];
}

/** Every failure at once; inputs that the schema does not know are left out, as the vendor's does. */
export function check(schema: Inputs, given: Properties): Checked {
  const failures: CheckFailure[] = [];
  const inputs = checkObject(schema, given, "", failures);
  return { inputs, failures };
}

function checkObject(
  schema: Inputs,
  given: Properties,
  prefix: string,
  failures: CheckFailure[],
): Properties {
  const inputs: Record<string, Value> = {};
  for (const [name, input] of Object.entries(schema)) {
    const property = `${prefix}${name}`;
    const value = given[name];
    if (value === undefined || value === null) {
      if (input.required === true) {
        failures.push({ property, reason: `missing required property '${property}'` });
      }
      continue;
    }
    const checked = checkValue(input, value, property, failures);
    inputs[name] = input.secret === true ? secret(checked) : checked;
  }
  return inputs;
}

function checkValue(input: Input, value: Value, property: string, failures: CheckFailure[]): Value {
  if (isSecret(value)) {
    return secret(checkValue(input, value.value ?? null, property, failures));
  }
  if (isUnknown(value)) return value;
  if (input.type === "connection") {
    if (isPlainObject(value)) return checkConnection(value, property, failures);
    failures.push({ property, reason: "a connection is an object with a host" });
    return value;
  }
  const reason = wrongness(input, value);
  if (reason !== undefined) failures.push({ property, reason });
  return value;
}

function checkConnection(given: Properties, property: string, failures: CheckFailure[]): Properties {
  const ends = checkObject(connectionFields, { ...connectionDefaults, ...given }, `${property}.`, failures);
  const proxy = given.proxy ?? undefined;
  if (proxy === undefined) return ends;
  const checked = checkValue({ type: "connection" }, proxy, `${property}.proxy`, failures);
  return { ...ends, proxy: checked };
}

function wrongness(input: Input, value: Value): string | undefined {
  const found = Array.isArray(value) ? "a list" : isPlainObject(value) ? "an object" : `a ${typeof value}`;
  const strings = (items: readonly Value[]): boolean =>
    items.every((item) => typeof inner(item) === "string");
  switch (input.type) {
    case "string":
    case "boolean":
      return typeof value === input.type ? undefined : `expected a ${input.type}, found ${found}`;
    case "number":
      return typeof value === "number" ? undefined : `expected a number, found ${found}`;
    case "integer":
      return Number.isInteger(value) ? undefined : `expected a whole number, found ${found}`;
    case "strings":
      return Array.isArray(value) && strings(value)
        ? undefined
        : `expected a list of strings, found ${found}`;
    case "texts":
      return isPlainObject(value) && strings(Object.values(value))
        ? undefined
        : `expected an object whose values are strings, found ${found}`;
    case "any[]":
      return Array.isArray(value) ? undefined : `expected a list, found ${found}`;
    case "logging":
      return (loggingValues as readonly Value[]).includes(value)
        ? undefined
        : `expected one of ${loggingValues.join(", ")}`;
    case "source":
      return wrongSource(value);
    case "connection":
      return undefined;
  }
}

function inner(value: Value): Value {
  return isSecret(value) ? (value.value ?? null) : value;
}

function wrongSource(value: Value): string | undefined {
  const file = asset(value);
  const folder = archive(value);
  if (file === undefined && folder === undefined) return "expected an asset or an archive";
  if (file !== undefined && file.path === undefined && file.text === undefined) {
    return "an asset must be a file or a text; one from a URL cannot be copied";
  }
  if (folder !== undefined && folder.path === undefined) {
    return "an archive must be a path to a file or folder";
  }
  return undefined;
}
