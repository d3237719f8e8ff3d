import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";

/** Registers what resources.json lists, and does nothing else: what `bench/preview.ts` measures the program against. */
interface Planned {
  readonly urn: string;
  readonly type: string;
  readonly custom: boolean;
  readonly parent?: string;
  readonly dependencies?: readonly string[];
  readonly provider?: string;
  readonly inputs?: Record<string, unknown>;
}

class Custom extends pulumi.CustomResource {}
class Provider extends pulumi.ProviderResource {}

const secretMark = "4dabf18193072939515e22adb298388d";
const made = new Map<string, pulumi.Resource>();

for (const planned of JSON.parse(readFileSync("resources.json", "utf8")) as Planned[]) {
  const { urn, type, custom, parent = "", dependencies = [], provider = "", inputs = {} } = planned;
  if (type === "pulumi:pulumi:Stack" || type === "pulumi:pulumi:StackReference") continue;
  const name = urn.split("::").at(-1) ?? "";
  const above = made.get(parent);
  const by = made.get(provider.split("::").slice(0, -1).join("::")) as pulumi.ProviderResource | undefined;
  const opts = {
    dependsOn: dependencies.flatMap((one) => made.get(one) ?? []),
    ...(above === undefined ? {} : { parent: above }),
    ...(by === undefined ? {} : { provider: by }),
  };
  const known = plain(inputs) as pulumi.Inputs;
  if (type.startsWith("pulumi:providers:")) {
    if (above === undefined && name.startsWith("default")) continue;
    made.set(urn, new Provider(type.replace("pulumi:providers:", ""), name, known, opts));
  } else if (custom) made.set(urn, new Custom(type, name, known, opts));
  else made.set(urn, new pulumi.ComponentResource(type, name, {}, opts));
}

/** Secrets are secrets again, with a text of their own; what is unknown in a preview is left out. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  if (secretMark in value) return pulumi.secret("secret");
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !key.startsWith("__"))
      .map(([key, member]) => [key, plain(member)]),
  );
}
