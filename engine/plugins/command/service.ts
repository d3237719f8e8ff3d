/** The engine's side of the plugin: every request it may make, answered from `resources`, `check` and `diff`. */

import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import grpc from "@grpc/grpc-js";
import pluginProto from "@pulumi/pulumi/proto/plugin_pb.js";
import proto from "@pulumi/pulumi/proto/provider_pb.js";
import { type Checked, check } from "./check.ts";
import { type Change, changes } from "./diff.ts";
import { type LocalInputs, runLocally } from "./local.ts";
import { type EngineLog, hiding } from "./log.ts";
import { create, remove, type Step, update } from "./resources.ts";
import { functions, type Inputs, resources, schemaText, version } from "./schema.ts";
import { empty, fromStruct, toStruct } from "./struct.ts";
import { plainProperties, secretTexts, type Value } from "./values.ts";

/** Stacks that must have the vendor's plugin. */
const refusedStacks = new Set(["staging", "production"]);

/** @returns the handlers for grpc's `addService` */
export function commandService(log: EngineLog): UntypedServiceImplementation {
  const cancelation = new AbortController();

  /** Runs a step under the resource's own time limit, with its secrets hidden in log and error. */
  async function within<T>(
    request: { getUrn(): string; getTimeout(): number; getPreview?(): boolean },
    secrets: Value,
    act: (step: Step) => Promise<T>,
  ): Promise<T> {
    const urn = request.getUrn();
    refuseStack(urn);
    const [type, name] = typeAndName(urn);
    inputsOf(resources, type);
    const hide = hiding(secretTexts(secrets));
    const seconds = request.getTimeout();
    const limits = seconds > 0 ? [AbortSignal.timeout(seconds * 1_000)] : [];
    const signal = AbortSignal.any([cancelation.signal, ...limits]);
    const preview = request.getPreview?.() ?? false;
    try {
      return await act({ type, name, preview, log: log.for(urn, hide), signal });
    } catch (error) {
      throw new Error(hide(error instanceof Error ? error.message : String(error)));
    }
  }

  return {
    getPluginInfo: answer(async () => new pluginProto.PluginInfo().setVersion(version)),
    getSchema: answer(async () => new proto.GetSchemaResponse().setSchema(schemaText())),
    attach: answer(async () => empty()),
    cancel: answer(async () => {
      cancelation.abort();
      return empty();
    }),

    checkConfig: answer(async (request: InstanceType<typeof proto.CheckRequest>) => {
      refuseStack(request.getUrn());
      return new proto.CheckResponse().setInputs(request.getNews());
    }),
    // The plugin takes no configuration; what another build of it noted in the state is no change.
    diffConfig: answer(async () =>
      new proto.DiffResponse().setChanges(proto.DiffResponse.DiffChanges.DIFF_NONE),
    ),
    configure: answer(async (request: InstanceType<typeof proto.ConfigureRequest>) => {
      refuseStack(request.getUrn() ?? "");
      return new proto.ConfigureResponse().setAcceptsecrets(true).setSupportspreview(true);
    }),

    check: answer(async (request: InstanceType<typeof proto.CheckRequest>) => {
      refuseStack(request.getUrn());
      const [type] = typeAndName(request.getUrn());
      const checked = check(inputsOf(resources, type), fromStruct(request.getNews()));
      return new proto.CheckResponse().setInputs(toStruct(checked.inputs)).setFailuresList(failures(checked));
    }),
    diff: answer(async (request: InstanceType<typeof proto.DiffRequest>) => {
      const [type] = typeAndName(request.getUrn());
      const inputs = inputsOf(resources, type);
      const replacing = new Set(Object.keys(inputs).filter((name) => inputs[name]?.replaces === true));
      return diffResponse(
        changes(fromStruct(request.getOldInputs()), fromStruct(request.getNews()), replacing),
      );
    }),
    create: answer(async (request: InstanceType<typeof proto.CreateRequest>) => {
      const inputs = fromStruct(request.getProperties());
      const { id, outputs } = await within(request, inputs, (step) => create(step, inputs));
      return new proto.CreateResponse().setId(id).setProperties(toStruct(outputs));
    }),
    update: answer(async (request: InstanceType<typeof proto.UpdateRequest>) => {
      const olds = fromStruct(request.getOlds());
      const news = fromStruct(request.getNews());
      const outputs = await within(request, [olds, news], (step) => update(step, olds, news));
      return new proto.UpdateResponse().setProperties(toStruct(outputs));
    }),
    delete: answer(async (request: InstanceType<typeof proto.DeleteRequest>) => {
      const olds = fromStruct(request.getProperties());
      await within(request, olds, (step) => remove(step, olds));
      return empty();
    }),
    // There is nothing to look at: a command's state is what it printed.
    read: answer(async (request: InstanceType<typeof proto.ReadRequest>) =>
      new proto.ReadResponse()
        .setId(request.getId())
        .setProperties(request.getProperties())
        .setInputs(request.getInputs()),
    ),

    invoke: answer(async (request: InstanceType<typeof proto.InvokeRequest>) => {
      const given = fromStruct(request.getArgs());
      const checked = check(inputsOf(functions, request.getTok()), given);
      const response = new proto.InvokeResponse();
      if (checked.failures.length > 0) return response.setFailuresList(failures(checked));
      const inputs = plainProperties(checked.inputs) as unknown as LocalInputs & { command: string };
      const hide = hiding(secretTexts(given));
      const left = await runLocally(inputs.command, inputs, {}, log.for("", hide), cancelation.signal).catch(
        (error: Error) => {
          throw new Error(hide(error.message));
        },
      );
      return response.setReturn(toStruct({ ...checked.inputs, ...left }));
    }),
  };
}

type Handler<Request, Response> = (request: Request) => Promise<Response>;

function answer<Request, Response>(
  handler: Handler<Request, Response>,
): grpc.handleUnaryCall<Request, Response> {
  return (call, callback) => {
    handler(call.request).then(
      (response) => callback(null, response),
      (error: unknown) => {
        const details = fitting(error instanceof Error ? error.message : String(error));
        callback({ code: grpc.status.UNKNOWN, details });
      },
    );
  };
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
function typeAndName(urn: string): [string, string] {
  const [, , types = "", ...name] = urn.split("::");
  return [types.split("$").at(-1) ?? "", name.join("::")];
}

function refuseStack(urn: string): void {
  const stack = urn.split("::")[0]?.replace("urn:pulumi:", "") ?? "";
  if (!refusedStacks.has(stack)) return;
  throw new Error(
    `the stack ${stack} needs Pulumi's own command plugin, and what answers here is Switchyard's bundled ` +
      "stand-in for development and tests; install the vendor's with " +
      `\`pulumi plugin install resource command ${version}\``,
  );
}

function inputsOf(known: Readonly<Record<string, Inputs>>, token: string): Inputs {
  const inputs = known[token];
  if (inputs !== undefined) return inputs;
  throw new Error(
    `the bundled command plugin has no ${token}; it has ${Object.keys(known).join(", ")}. The vendor's has more: ` +
      `\`pulumi plugin install resource command ${version}\``,
  );
}

function failures({ failures: found }: Checked): InstanceType<typeof proto.CheckFailure>[] {
  return found.map(({ property, reason }) =>
    new proto.CheckFailure().setProperty(property).setReason(reason),
  );
}

function diffResponse(found: readonly Change[]): InstanceType<typeof proto.DiffResponse> {
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
