/** The error of an operation that did its work and failed afterwards: the engine keeps what was made. */
import { createRequire } from "node:module";
import grpc from "@grpc/grpc-js";
import proto from "@pulumi/pulumi/proto/provider_pb.js";
import statusProto, { type Status } from "@pulumi/pulumi/proto/status_pb.js";
import { ErrorWithMetadata } from "../protocol/answer.ts";
import { toStruct } from "../protocol/struct.ts";
import type { Properties } from "../protocol/values.ts";

const fromSdk = createRequire(import.meta.resolve("@pulumi/pulumi/proto/provider_pb.js"));
const { Any } = fromSdk("google-protobuf/google/protobuf/any_pb.js") as {
  Any: new () => Parameters<Status["addDetails"]>[0] & { pack(bytes: Uint8Array, name: string): void };
};

export function madeAllTheSame(message: string, id: string, outputs: Properties, inputs: Properties): Error {
  const detail = new Any();
  const made = new proto.ErrorResourceInitFailed()
    .setId(id)
    .setProperties(toStruct(outputs))
    .setInputs(toStruct(inputs))
    .setReasonsList([message]);
  detail.pack(made.serializeBinary(), "pulumirpc.ErrorResourceInitFailed");
  const status = new statusProto.Status();
  status.setCode(grpc.status.UNKNOWN);
  status.setMessage(message);
  status.addDetails(detail);
  const metadata = new grpc.Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(status.serializeBinary()));
  return new ErrorWithMetadata(message, metadata);
}
