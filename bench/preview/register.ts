import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";

/** All that a program asks of the engine for one resource. */
interface Goal {
  readonly type: string;
  readonly name: string;
  readonly custom: boolean;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly parent?: string;
  readonly provider?: string;
  readonly dependencies?: readonly string[];
  readonly propertyDependencies?: Readonly<Record<string, readonly string[]>>;
  readonly protect?: boolean;
  readonly ignoreChanges?: readonly string[];
  readonly additionalSecretOutputs?: readonly string[];
}

/** Makes a resource of a type; what it is for is up to the program that calls `register`. */
export type Make = (
  type: string,
  name: string,
  inputs: pulumi.Inputs,
  opts: pulumi.CustomResourceOptions,
) => pulumi.CustomResource;

const goals = JSON.parse(readFileSync("resources.json", "utf8")) as Readonly<Record<string, Goal>>;
const made = new Map<string, pulumi.Resource>();
const secretMark = "4dabf18193072939515e22adb298388d";
const unknownMark = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Registers what resources.json lists, with its inputs and options, and does nothing else. */
export function register(make: Make): void {
  for (const urn of Object.keys(goals)) resource(urn, make);
}

function resource(urn: string, make: Make): pulumi.Resource | undefined {
  const known = made.get(urn);
  const goal = goals[urn];
  if (known || !goal || goal.type === "pulumi:pulumi:Stack") return known;
  // The engine makes its default providers itself.
  if (goal.type.startsWith("pulumi:providers:") && goal.name.startsWith("default")) return undefined;
  const all = (urns: readonly string[] = []) => urns.flatMap((one) => resource(one, make) ?? []);
  const [parent] = all([goal.parent ?? ""]);
  const [provider] = all([(goal.provider ?? "").split("::").slice(0, -1).join("::")]);
  const opts = {
    dependsOn: all(goal.dependencies),
    ...(parent === undefined ? {} : { parent }),
    ...(provider instanceof pulumi.ProviderResource ? { provider } : {}),
    ...(goal.protect ? { protect: true } : {}),
    ...(goal.ignoreChanges ? { ignoreChanges: [...goal.ignoreChanges] } : {}),
  };
  const inputs = Object.fromEntries(
    Object.entries(goal.inputs ?? {}).flatMap(([key, value]) => {
      if (key.startsWith("__") || (key === "version" && goal.type.startsWith("pulumi:"))) return [];
      return [[key, input(value, all(goal.propertyDependencies?.[key]))]];
    }),
  );
  const additionalSecretOutputs = [...(goal.additionalSecretOutputs ?? [])];
  const one = goal.custom
    ? make(goal.type, goal.name, inputs, { ...opts, additionalSecretOutputs })
    : new pulumi.ComponentResource(goal.type, goal.name, {}, opts);
  made.set(urn, one);
  return one;
}

/** A secret is one again; what a preview does not know comes from the resource that it comes from. */
function input(value: unknown, from: readonly pulumi.Resource[]): unknown {
  if (typeof value === "string" && value.includes(unknownMark)) return (from[0] as pulumi.CustomResource).id;
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((member) => input(member, from));
  if (secretMark in value && "plaintext" in value) {
    return pulumi.secret(input(JSON.parse(String(value.plaintext)), from));
  }
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, input(member, from)]));
}
