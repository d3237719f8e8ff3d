import type { z } from "zod";
import { type EnvironmentName, environments } from "../../components/rollout/environment.ts";
import { type ChronoConfig, chronoChecks, chronoSchema, chronoSecrets } from "../chrono.config.ts";
import { type DeiaConfig, deiaChecks, deiaSchema, deiaSecrets } from "../deia.config.ts";
import { type PodConfig, podChecks, podSchema, podSecrets } from "../pod.config.ts";
import { type SanctumConfig, sanctumChecks, sanctumSchema, sanctumSecrets } from "../sanctum.config.ts";
import { type TraiderConfig, traiderChecks, traiderSchema, traiderSecrets } from "../traider.config.ts";
import { formatKey, type KeyPath, type Mend, mendingCommand } from "./advice.ts";
import { ConfigError, type ConfigProblem } from "./errors.ts";
import { type VaultConfig, vaultChecks, vaultSchema, vaultSecrets, vaultSystems } from "./vault.ts";

/** A stack's config as the engine or the stack's file gives it. */
export type RawConfig = ReadonlyMap<string, RawValue>;

export interface RawValue {
  /** The value; an object is parsed from its JSON. For a secret that cannot be read, an empty string. */
  readonly value: unknown;
  readonly secret: boolean;
}

/** The systems, each with its own schema, secrets and rules. */
const systems = {
  chrono: { schema: chronoSchema, secrets: chronoSecrets, checks: chronoChecks },
  sanctum: { schema: sanctumSchema, secrets: sanctumSecrets, checks: sanctumChecks },
  pod: { schema: podSchema, secrets: podSecrets, checks: podChecks },
  traider: { schema: traiderSchema, secrets: traiderSecrets, checks: traiderChecks },
  deia: { schema: deiaSchema, secrets: deiaSecrets, checks: deiaChecks },
} as const;

export type SystemName = keyof typeof systems;

export const systemNames = Object.keys(systems) as SystemName[];

export interface StackConfig extends SystemConfigs {
  readonly environment: EnvironmentName;
  /** Systems that the stack's config names; one that it stops naming is not destroyed by that (docs/decisions/0008). */
  readonly systems: readonly SystemName[];
  /** Where the systems' backups go; of an environment, not of a system. */
  readonly vault: VaultConfig;
  /** Key of the secrets' revisions; present whenever a system has secrets. */
  readonly fingerprintKey: string | undefined;
}

/** The config of each system as its schema gives it, with the values of its secrets. */
export interface SystemConfigs {
  readonly chrono: ChronoConfig;
  readonly sanctum: SanctumConfig;
  readonly pod: PodConfig;
  readonly traider: TraiderConfig;
  readonly deia: DeiaConfig;
}

/** What a rule over a whole system's config is given. */
export interface SystemContext {
  readonly environment: EnvironmentName;
  /** @param mend default: the key is set, to a value that the reader fills in */
  readonly problem: (key: KeyPath, found: string, allowed: string, mend?: Mend) => void;
}

const providerNamespaces = new Set(["pulumi", "aws", "kubernetes", "cloudflare", "command"]);
const programKeys = ["fingerprintKey"];

/** Reads and checks the whole config of a stack; throws a ConfigError that names every problem at once. */
export function readStackConfig(stack: string, raw: RawConfig): StackConfig {
  const problems: ConfigProblem[] = [];
  const environment = environments.find((name) => name === stack);
  if (!environment) {
    const allowed = environments.join(", ");
    const command = "pulumi stack select development";
    throw new ConfigError(stack, [{ key: "stack", found: stack, allowed, command }]);
  }
  refuseUnknownNamespaces(environment, raw, problems);
  const { fingerprintKey } = readSecrets(environment, "switchyard", programKeys, raw, problems);
  const read: Partial<Record<SystemName, object>> = {};
  let isKeyNeeded = false;
  for (const system of systemNames) {
    if (!isNamed(system, raw)) continue;
    if (environment === "testing" && system !== "traider") {
      problems.push(notTested(system));
      continue;
    }
    const config = readNamespace(environment, system, systems[system], raw, problems);
    if (!config) continue;
    const { checks } = systems[system] as { checks: (config: object, context: SystemContext) => void };
    checks(config, contextOf(system, environment, problems));
    read[system] = config;
    if (Object.keys(config.secrets).length > 0) isKeyNeeded = true;
  }
  if (isKeyNeeded && fingerprintKey === undefined) problems.push(withoutKey(environment));
  const vault = readVault(environment, Object.keys(read), raw, problems);
  if (problems.length > 0 || vault === null) throw new ConfigError(stack, problems);
  return {
    environment,
    fingerprintKey,
    vault,
    systems: Object.keys(read) as SystemName[],
    ...(read as SystemConfigs),
  };
}

const isNamed = (namespace: string, raw: RawConfig) =>
  [...raw.keys()].some((key) => key.startsWith(`${namespace}:`));

/** TRD-1: of the documents only TRAIDER's has a testing environment, and only its cluster is one that comes and goes. */
const notTested = (system: SystemName): ConfigProblem => ({
  key: `${system}:…`,
  found: "keys of a system that has no testing environment",
  allowed: "traider:… in testing",
  command: `take its keys out of Pulumi.testing.yaml`,
});

const withoutKey = (stack: EnvironmentName): ConfigProblem => ({
  key: "switchyard:fingerprintKey",
  found: "nothing",
  allowed: "a random secret: it makes revisions of the other secrets",
  command: mendingCommand(stack, "switchyard", "fingerprintKey", {
    secret: true,
    value: { shell: '"$(openssl rand -hex 32)"' },
  }),
});

/** Parses the texts the engine hands to a program: JSON where the text is an object or a list, else the text. */
export function rawConfig(texts: Readonly<Record<string, string>>, secretKeys: readonly string[]): RawConfig {
  const secret = new Set(secretKeys);
  return new Map(
    Object.entries(texts).map(([key, text]) => [key, { value: parseValue(text), secret: secret.has(key) }]),
  );
}

function parseValue(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A stack of systems without a database needs no vault. */
function readVault(
  environment: EnvironmentName,
  named: readonly string[],
  raw: RawConfig,
  problems: ConfigProblem[],
): VaultConfig | null {
  const described = { schema: vaultSchema, secrets: vaultSecrets };
  const vault = readNamespace(environment, "vault", described, raw, problems) as VaultConfig | null;
  const isWanted = isNamed("vault", raw) || vaultSystems.some((system) => named.includes(system));
  if (vault && isWanted) vaultChecks(vault, contextOf("vault", environment, problems), named);
  return vault;
}

function readNamespace(
  stack: EnvironmentName,
  namespace: string,
  { schema, secrets: names }: { readonly schema: z.ZodType; readonly secrets: readonly string[] },
  raw: RawConfig,
  problems: ConfigProblem[],
): { readonly secrets: Readonly<Record<string, string>> } | null {
  const secrets = readSecrets(stack, namespace, names, raw, problems);
  const members = [...raw]
    .filter(([key]) => key.startsWith(`${namespace}:`))
    .map(([key, { value, secret }]) => [key.slice(namespace.length + 1), { value, secret }] as const)
    .filter(([name]) => !names.includes(name));
  for (const [name, { secret }] of members) {
    if (!secret) continue;
    const key = `${namespace}:${name}`;
    problems.push({
      key,
      found: "a secret",
      allowed: "plain text",
      command: mendingCommand(stack, namespace, [name]),
    });
  }
  const given = Object.fromEntries(members.map(([name, { value }]) => [name, scalar(value)]));
  const result = schema.safeParse(given);
  if (result.success) return { ...(result.data as object), secrets };
  for (const issue of result.error.issues) problems.push(...describe(stack, namespace, issue, given));
  return null;
}

function readSecrets(
  stack: EnvironmentName,
  namespace: string,
  names: readonly string[],
  raw: RawConfig,
  problems: ConfigProblem[],
): Record<string, string> {
  const secrets: Record<string, string> = {};
  for (const name of names) {
    const key = `${namespace}:${name}`;
    const given = raw.get(key);
    if (!given) continue;
    secrets[name] = String(given.value);
    if (given.secret) continue;
    problems.push({
      key,
      found: "a value in clear",
      allowed: "a secret",
      command: mendingCommand(stack, namespace, [name], { secret: true }),
    });
  }
  return secrets;
}

function refuseUnknownNamespaces(stack: EnvironmentName, raw: RawConfig, problems: ConfigProblem[]): void {
  const known = ["switchyard", "vault", ...Object.keys(systems)];
  for (const [key] of raw) {
    const [namespace = "", name = ""] = key.split(":");
    if (providerNamespaces.has(namespace)) continue;
    const isKnown = known.includes(namespace) && (namespace !== "switchyard" || programKeys.includes(name));
    if (isKnown) continue;
    const allowed = namespace === "switchyard" ? "switchyard:fingerprintKey" : `${known.join(":…, ")}:…`;
    const command = mendingCommand(stack, namespace, [name], { remove: true });
    problems.push({ key, found: "an unknown key", allowed, command });
  }
}

/** The engine hands numbers and truth values at the top level on as text. */
function scalar(value: unknown): unknown {
  if (value === "true" || value === "false") return value === "true";
  return typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : value;
}

function describe(
  stack: EnvironmentName,
  namespace: string,
  issue: z.core.$ZodIssue,
  given: unknown,
): ConfigProblem[] {
  const path = issue.path.map((step) => (typeof step === "number" ? step : String(step)));
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((name) => ({
      key: formatKey(namespace, [...path, name]),
      found: "an unknown key",
      allowed: "the keys of docs/config.md",
      command: mendingCommand(stack, namespace, [...path, name], { remove: true }),
    }));
  }
  // What is wrong is the name itself: nothing that could be set there would be right.
  if (issue.code === "invalid_key") {
    const command = mendingCommand(stack, namespace, path, { remove: true });
    return [{ key: formatKey(namespace, path), found: show(path.at(-1)), allowed: issue.message, command }];
  }
  const found = show(path.reduce<unknown>((at, step) => (at as Record<PropertyKey, unknown>)?.[step], given));
  const command = mendingCommand(stack, namespace, path);
  return [{ key: formatKey(namespace, path), found, allowed: issue.message, command }];
}

function show(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value).slice(0, 80);
}

function contextOf(
  namespace: string,
  environment: EnvironmentName,
  problems: ConfigProblem[],
): SystemContext {
  return {
    environment,
    problem: (path, found, allowed, mend) => {
      const command = mendingCommand(environment, namespace, path, mend);
      problems.push({ key: formatKey(namespace, path), found, allowed, command });
    },
  };
}
