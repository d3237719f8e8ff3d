/**
 * The bundled stand-in for Pulumi's `command` plugin: `pulumi-resource-command [flags] [engine address]`.
 * It really runs local and SSH commands, with the semantics of version 1.2.1, in development and in tests.
 * The first line of its stdout is the port it listens on; that is how the engine finds it.
 */
import grpc from "@grpc/grpc-js";
import providerService from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import { killAll } from "./local.ts";
import { EngineLog } from "./log.ts";
import { commandService } from "./service.ts";

const engineAddress = process.argv.slice(2).findLast((argument) => !argument.startsWith("-"));
const server = new grpc.Server({
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
});
server.addService(providerService.ResourceProviderService, commandService(new EngineLog(engineAddress)));
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) {
    process.stderr.write(`pulumi-resource-command: cannot listen on 127.0.0.1: ${error.message}\n`);
    process.exit(1);
  }
  process.stdout.write(`${port}\n`);
});

/** An engine that was killed cannot say so: what it started ends with it. */
const engine = process.ppid;
if (engine > 1) {
  setInterval(() => {
    if (process.ppid === engine) return;
    killAll();
    process.exit(1);
  }, 250).unref();
}
