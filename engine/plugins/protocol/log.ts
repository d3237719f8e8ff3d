/** Lines to the engine's log, in order, without secrets. */
import grpc from "@grpc/grpc-js";
import engineService from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import engineProto from "@pulumi/pulumi/proto/engine_pb.js";

export type Severity = "debug" | "info" | "warning" | "error";

export interface Log {
  /** @param passing shown while it is the latest line of the resource, and not kept (as command output is) */
  line(severity: Severity, message: string, passing?: boolean): void;
  /** Resolves when every line so far was taken, or after five seconds. */
  flush(): Promise<void>;
}

/** One connection to the engine, shared by all resources. */
export class EngineLog {
  readonly #client: InstanceType<typeof engineService.EngineClient> | undefined;

  /** @param address host:port of the engine; without one nothing is logged */
  constructor(address: string | undefined) {
    if (address === undefined) return;
    this.#client = new engineService.EngineClient(address, grpc.credentials.createInsecure());
  }

  /** @param hide takes the secrets out of a line */
  for(urn: string, hide: (text: string) => string): Log {
    let last: Promise<void> = Promise.resolve();
    return {
      line: (severity, message, passing = false) => {
        const request = new engineProto.LogRequest()
          .setUrn(urn)
          .setSeverity(severities[severity])
          .setMessage(hide(message))
          .setEphemeral(passing);
        last = last.then(() => this.#send(request));
      },
      flush: () => last,
    };
  }

  #send(request: InstanceType<typeof engineProto.LogRequest>): Promise<void> {
    return new Promise((resolve) => {
      if (this.#client === undefined) return resolve();
      // An engine that takes no lines is one that is going away: the command's result matters, its lines don't.
      this.#client.log(request, new grpc.Metadata(), { deadline: Date.now() + 5_000 }, () => resolve());
    });
  }
}

const severities = {
  debug: engineProto.LogSeverity.DEBUG,
  info: engineProto.LogSeverity.INFO,
  warning: engineProto.LogSeverity.WARNING,
  error: engineProto.LogSeverity.ERROR,
};

/** Replaces every occurrence of the given texts. */
export function hiding(texts: readonly string[]): (text: string) => string {
  return (text) => texts.reduce((rest, hidden) => rest.replaceAll(hidden, "[secret]"), text);
}
