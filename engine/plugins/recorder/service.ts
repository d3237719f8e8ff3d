/** The engine's side of the recorder: every request it may make, answered from the model, the world and the journal. */
import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import pluginProto from "@pulumi/pulumi/proto/plugin_pb.js";
import proto from "@pulumi/pulumi/proto/provider_pb.js";
import { answer, diffResponse, ofUrn } from "../protocol/answer.ts";
import { changes } from "../protocol/diff.ts";
import type { EngineLog } from "../protocol/log.ts";
import { empty, fromStruct, toStruct } from "../protocol/struct.ts";
import { type Properties, plainProperties } from "../protocol/values.ts";
import { madeAllTheSame } from "./made-all-the-same.ts";
import type { Model } from "./model.ts";
import { Recorder } from "./recorder.ts";

/**
 * @param version of the SDK that asks, which is the version this plugin claims to be
 * @param folder see `recorderFolder`
 */
export function recorderService(
  model: Model,
  version: string,
  folder: string,
  log: EngineLog,
): UntypedServiceImplementation {
  const cancelation = new AbortController();
  const recorder = new Recorder(model, folder, cancelation.signal);
  const said = `Switchyard's recorder answers for ${model.package}: a stand-in for tests, nothing real is touched`;

  return {
    // What follows the + is no part of the version as the engine compares it.
    getPluginInfo: answer(async () =>
      new pluginProto.PluginInfo().setVersion(`${version}+switchyard.recorder`),
    ),
    getSchema: answer(async () =>
      new proto.GetSchemaResponse().setSchema(
        JSON.stringify({ name: model.package, version, description: said }),
      ),
    ),
    attach: answer(async () => empty()),
    cancel: answer(async () => {
      cancelation.abort();
      return empty();
    }),

    checkConfig: answer(async (request: InstanceType<typeof proto.CheckRequest>) =>
      new proto.CheckResponse().setInputs(request.getNews()),
    ),
    diffConfig: answer(async (request: InstanceType<typeof proto.DiffRequest>) => {
      const [olds, news] = [fromStruct(request.getOldInputs()), fromStruct(request.getNews())];
      const replaces = model.replacingConfig;
      return diffResponse(
        changes(plainProperties(olds), plainProperties(news), ([key]) => replaces.has(String(key))),
      );
    }),
    configure: answer(async (request: InstanceType<typeof proto.ConfigureRequest>) => {
      model.configure(settings(request));
      const line = log.for("", (text) => text);
      line.line("info", said);
      await line.flush();
      return new proto.ConfigureResponse().setAcceptsecrets(true).setSupportspreview(true);
    }),

    check: answer(async (request: InstanceType<typeof proto.CheckRequest>) => {
      const subject = subjectOf(request);
      const olds = request.getOlds();
      const taken = recorder.taken(subject.stack);
      const inputs = model.check(subject, olds && fromStruct(olds), fromStruct(request.getNews()), taken);
      return new proto.CheckResponse().setInputs(toStruct(inputs));
    }),
    diff: answer(async (request: InstanceType<typeof proto.DiffRequest>) => {
      const { type } = subjectOf(request);
      const [olds, news] = [fromStruct(request.getOldInputs()), fromStruct(request.getNews())];
      const found = changes(plainProperties(olds), plainProperties(news), model.replaces(type, news));
      const first = found.some(({ replaces }) => replaces) && model.keepsName(type, olds, news);
      return diffResponse(found).setDeletebeforereplace(first);
    }),
    create: answer(async (request: InstanceType<typeof proto.CreateRequest>) => {
      const inputs = fromStruct(request.getProperties());
      const { made, failure } = await recorder.create(subjectOf(request), inputs, limitsOf(request));
      if (failure !== undefined) throw madeAllTheSame(failure, made.id, made.outputs, inputs);
      return new proto.CreateResponse().setId(made.id).setProperties(toStruct(made.outputs));
    }),
    update: answer(async (request: InstanceType<typeof proto.UpdateRequest>) => {
      const [olds, news] = [fromStruct(request.getOlds()), fromStruct(request.getNews())];
      const id = request.getId();
      const { made, failure } = await recorder.update(subjectOf(request), id, olds, news, limitsOf(request));
      if (failure !== undefined) throw madeAllTheSame(failure, id, made.outputs, news);
      return new proto.UpdateResponse().setProperties(toStruct(made.outputs));
    }),
    delete: answer(async (request: InstanceType<typeof proto.DeleteRequest>) => {
      const olds = fromStruct(request.getProperties());
      const inputs = fromStruct(request.getOldInputs());
      await recorder.remove(subjectOf(request), request.getId(), olds, inputs, limitsOf(request));
      return empty();
    }),
    read: answer(async (request: InstanceType<typeof proto.ReadRequest>) => {
      const id = request.getId();
      const state = fromStruct(request.getProperties());
      const inputs = fromStruct(request.getInputs());
      const found = await recorder.read(subjectOf(request), id, state, inputs);
      if (found === undefined) return new proto.ReadResponse();
      return new proto.ReadResponse()
        .setId(id)
        .setProperties(toStruct(found.outputs))
        .setInputs(toStruct(found.inputs));
    }),
    invoke: answer(async (request: InstanceType<typeof proto.InvokeRequest>) => {
      const result = await recorder.invoke(request.getTok(), fromStruct(request.getArgs()));
      return new proto.InvokeResponse().setReturn(toStruct(result));
    }),
  };
}

function subjectOf(request: { getUrn(): string }) {
  const urn = request.getUrn();
  return { urn, ...ofUrn(urn) };
}

function limitsOf(request: { getTimeout(): number; getPreview?(): boolean }) {
  return { preview: request.getPreview?.() ?? false, seconds: request.getTimeout() };
}

/** Structured where the engine gives it so, else `kubernetes:config:namespace` and the like. */
function settings(request: InstanceType<typeof proto.ConfigureRequest>): Properties {
  const args = request.getArgs();
  if (args !== undefined) return fromStruct(args);
  const flat: [string, string][] = request.getVariablesMap().toArray();
  return Object.fromEntries(flat.map(([key, value]) => [key.split(":").at(-1) ?? key, value]));
}
