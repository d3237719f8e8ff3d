/** Between the wire's Struct and plain properties. */
import { createRequire } from "node:module";
import type { CheckRequest } from "@pulumi/pulumi/proto/provider_pb.js";
import { type Properties, withoutNulls } from "./values.ts";

export type Struct = NonNullable<ReturnType<CheckRequest["getNews"]>>;

// The message classes of the SDK's own copy of the library, wherever npm has put it.
const fromSdk = createRequire(import.meta.resolve("@pulumi/pulumi/proto/provider_pb.js"));
const { Struct: StructMessage } = fromSdk("google-protobuf/google/protobuf/struct_pb.js") as {
  Struct: { fromJavaScript(value: Properties): Struct };
};
const { Empty } = fromSdk("google-protobuf/google/protobuf/empty_pb.js") as { Empty: new () => object };

export function empty(): object {
  return new Empty();
}

/** Properties without nulls at the top: an input that is null is one that was not given. */
export function fromStruct(struct: Struct | undefined): Properties {
  return withoutNulls((struct?.toJavaScript() ?? {}) as Properties);
}

export function toStruct(properties: Properties): Struct {
  return StructMessage.fromJavaScript(properties);
}
