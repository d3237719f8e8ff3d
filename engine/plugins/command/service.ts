/** The engine's side of the plugin: every request it may make, answered from `resources`, `check` and `diff`. */

import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import pluginProto from "@pulumi/pulumi/proto/plugin_pb.js";
import proto from "@pulumi/pulumi/proto/provider_pb.js";
import { answer, diffResponse, ofUrn } from "../protocol/answer.ts";
import { changes, type Path } from "../protocol/diff.ts";
import { type EngineLog, hiding } from "../protocol/log.ts";
import { empty, fromStruct, toStruct } from "../protocol/struct.ts";
import { plainProperties, secretTexts, type Value } from "../protocol/values.ts";
import { type Checked, check } from "./check.ts";
import { type LocalInputs, runLocally } from "./local.ts";
import { create, remove, type Step, update } from "./resources.ts";
import { functions, type Inputs, resources, schemaText, version } from "./schema.ts";

/** Stacks that must have the vendor's plugin. */
const guardedStacks: readonly string[] = ["staging", "production"];

/**
 * @param refused stacks in which it runs nothing; @default staging and production
 * @returns the handlers for grpc's `addService`
 */
export function commandService(
  log: EngineLog,
  refused: readonly string[] = guardedStacks,
): UntypedServiceImplementation {
  const cancelation = new AbortController();

  function refuseStack(urn: string): void {
    const { stack } = ofUrn(urn);
    if (!refused.includes(stack)) return;
    throw new Error(
      `the stack ${stack} needs Pulumi's own command plugin, and what answers here is Switchyard's bundled ` +
        "stand-in for development and tests; install the vendor's with " +
        `\`pulumi plugin install resource command ${version}\``,
    );
  }

  /** Runs a step under the resource's own time limit, with its secrets hidden in log and error. */
  async function within<T>(
    request: { getUrn(): string; getTimeout(): number; getPreview?(): boolean },
    secrets: Value,
    act: (step: Step) => Promise<T>,
  ): Promise<T> {
    const urn = request.getUrn();
    refuseStack(urn);
    const { type, name } = ofUrn(urn);
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
      const { type } = ofUrn(request.getUrn());
      const checked = check(inputsOf(resources, type), fromStruct(request.getNews()));
      return new proto.CheckResponse().setInputs(toStruct(checked.inputs)).setFailuresList(failures(checked));
    }),
    diff: answer(async (request: InstanceType<typeof proto.DiffRequest>) => {
      const { type } = ofUrn(request.getUrn());
      const inputs = inputsOf(resources, type);
      // Only an added, removed or wholly changed input replaces by itself: a changed element of it (`triggers[0]`) is
      // an update here, and the SDK's own replaceOnChanges makes it a replacement, as with the vendor's.
      const replaces = (path: Path) => path.length === 1 && inputs[String(path[0])]?.replaces === true;
      return diffResponse(
        changes(fromStruct(request.getOldInputs()), fromStruct(request.getNews()), replaces),
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
