/** Serves a plugin to the engine that started it. */
import grpc, { type UntypedServiceImplementation } from "@grpc/grpc-js";
import providerService from "@pulumi/pulumi/proto/provider_grpc_pb.js";

/** The engine's own address, which it gives as the last argument that is no flag. */
export function engineAddress(): string | undefined {
  return process.argv.slice(2).findLast((argument) => !argument.startsWith("-"));
}

/**
 * The first line of stdout is the port; that is how the engine finds the plugin.
 * @param program for messages: `pulumi-resource-command`
 * @param onOrphaned runs before the process ends because its engine did: one that was killed cannot say so
 */
export function serve(
  program: string,
  service: UntypedServiceImplementation,
  onOrphaned: () => void = () => {},
): void {
  const server = new grpc.Server({
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
  });
  server.addService(providerService.ResourceProviderService, service);
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error !== null) {
      process.stderr.write(`${program}: cannot listen on 127.0.0.1: ${error.message}\n`);
      process.exit(1);
    }
    process.stdout.write(`${port}\n`);
  });
  const engine = process.ppid;
  if (engine <= 1) return;
  setInterval(() => {
    if (process.ppid === engine) return;
    onOrphaned();
    process.exit(1);
  }, 250).unref();
}
