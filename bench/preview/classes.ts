import * as aws from "@pulumi/aws";
import * as cloudflare from "@pulumi/cloudflare";
import * as command from "@pulumi/command";
import * as kubernetes from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import { register } from "./register.ts";

/** The bare program as a person writes it: the vendors' SDKs, and a class of theirs for each resource. */
type Class = new (
  name: string,
  inputs: pulumi.Inputs,
  opts: pulumi.CustomResourceOptions,
) => pulumi.CustomResource;

const sdks: Readonly<Record<string, unknown>> = { aws, cloudflare, command, kubernetes };

register((type, name, inputs, opts) => {
  // A provider's inputs are texts once they are registered; its class takes values.
  const args = type.startsWith("pulumi:providers:") ? valuesOf(inputs) : inputs;
  return new (classOf(type))(name, args, opts);
});

function valuesOf(inputs: pulumi.Inputs): pulumi.Inputs {
  const flags: pulumi.Inputs = { true: true, false: false };
  return Object.fromEntries(Object.entries(inputs).map(([key, value]) => [key, flags[value] ?? value]));
}

/** `aws:kms/key:Key` is `aws.kms.Key`, `kubernetes:rbac.authorization.k8s.io/v1:Role` is `kubernetes.rbac.v1.Role`. */
function classOf(type: string): Class {
  const [first = "", module = "", last = ""] = type.split(":");
  const path = pathOf(first, module, last);
  const found = path.reduce<unknown>((outer, key) => (outer as Record<string, unknown>)[key], sdks);
  if (typeof found !== "function") throw new Error(`there is no class ${path.join(".")} for ${type}`);
  return found as Class;
}

function pathOf(first: string, module: string, last: string): string[] {
  if (first === "pulumi") return [last, "Provider"];
  const [group = "", version = ""] = module.split("/");
  if (first === "kubernetes") return [first, group.split(".")[0] ?? "", version, last];
  return group === "index" ? [first, last] : [first, group, last];
}
