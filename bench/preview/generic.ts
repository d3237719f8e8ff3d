import * as pulumi from "@pulumi/pulumi";
import { register } from "./register.ts";

/** The least program that the engine gets the same from: no SDK but Pulumi's own is loaded. */
class Resource extends pulumi.CustomResource {}
class Provider extends pulumi.ProviderResource {}

const providers = "pulumi:providers:";
register((type, name, inputs, opts) =>
  type.startsWith(providers)
    ? new Provider(type.slice(providers.length), name, inputs, opts)
    : new Resource(type, name, inputs, opts),
);
