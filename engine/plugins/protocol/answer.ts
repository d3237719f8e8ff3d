/** How a plugin answers the engine: handlers as promises, errors that fit the wire, differences in detail. */
import grpc from "@grpc/grpc-js";
import proto from "@pulumi/pulumi/proto/provider_pb.js";
import type { Change } from "./diff.ts";

/** A handler for grpc's `addService`. What it throws is the error that the engine shows. */
export function answer<Request, Response>(
  handler: (request: Request) => Promise<Response>,
): grpc.handleUnaryCall<Request, Response> {
  return (call, callback) => {
    handler(call.request).then(
      (response) => callback(null, response),
      (error: unknown) => {
        const details = fitting(error instanceof Error ? error.message : String(error));
        const metadata = error instanceof ErrorWithMetadata ? { metadata: error.metadata } : {};
        callback({ code: grpc.status.UNKNOWN, details, ...metadata });
      },
    );
  };
}

/** An error that tells the engine more than its message. */
export class ErrorWithMetadata extends Error {
  readonly metadata: grpc.Metadata;

  constructor(message: string, metadata: grpc.Metadata) {
    super(message);
    this.metadata = metadata;
  }
}

/** An error travels in a header, percent-encoded, and Node's headers end at 64 KiB: the middle of more is left out. */
function fitting(details: string): string {
  const size = encodeURI(details.toWellFormed()).length;
  if (size <= roomForDetails) return details;
  const part = Math.floor((details.length * roomForDetails) / size / 2);
  const left = details.length - 2 * part;
  return `${details.slice(0, part)}\n[… ${left} characters left out …]\n${details.slice(-part)}`.toWellFormed();
}
const roomForDetails = 40_000;

/** `urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME` */
export function ofUrn(urn: string): { readonly stack: string; readonly type: string; readonly name: string } {
  const [stack = "", , types = "", ...name] = urn.split("::");
  return {
    stack: stack.replace("urn:pulumi:", ""),
    type: types.split("$").at(-1) ?? "",
    name: name.join("::"),
  };
}

export function diffResponse(found: readonly Change[]): InstanceType<typeof proto.DiffResponse> {
  const { DiffChanges } = proto.DiffResponse;
  const { Kind } = proto.PropertyDiff;
  const kinds = {
    add: [Kind.ADD, Kind.ADD_REPLACE],
    delete: [Kind.DELETE, Kind.DELETE_REPLACE],
    update: [Kind.UPDATE, Kind.UPDATE_REPLACE],
  } as const;
  const response = new proto.DiffResponse()
    .setChanges(found.length > 0 ? DiffChanges.DIFF_SOME : DiffChanges.DIFF_NONE)
    .setDiffsList([...new Set(found.map(({ property }) => property))])
    .setReplacesList([...new Set(found.filter((change) => change.replaces).map(({ property }) => property))])
    .setHasdetaileddiff(true);
  for (const { path, kind, replaces } of found) {
    response.getDetaileddiffMap().set(path, new proto.PropertyDiff().setKind(kinds[kind][replaces ? 1 : 0]));
  }
  return response;
}
