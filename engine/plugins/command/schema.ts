/** What the plugin offers: tokens, inputs, their types. Read by `check` and answered to GetSchema. */

export type InputType =
  | "string"
  | "boolean"
  | "integer"
  | "number"
  | "strings"
  | "texts" // a map of strings
  | "any[]"
  | "logging"
  | "connection"
  | "source";

export interface Input {
  readonly type: InputType;
  readonly required?: true;
  readonly secret?: true;
  readonly replaces?: true;
}
export type Inputs = Readonly<Record<string, Input>>;

/** The version whose semantics these are; the engine asks for a plugin of the SDK's version. */
export const version = "1.2.1";
export const loggingValues = ["stdout", "stderr", "stdoutAndStderr", "none"] as const;
export type Logging = (typeof loggingValues)[number];

const lifecycle: Inputs = {
  create: { type: "string" },
  update: { type: "string" },
  delete: { type: "string" },
  triggers: { type: "any[]", replaces: true },
};
const common: Inputs = {
  stdin: { type: "string" },
  logging: { type: "logging" },
  environment: { type: "texts" },
  addPreviousOutputInEnv: { type: "boolean" },
};
const local: Inputs = {
  ...common,
  interpreter: { type: "strings" },
  dir: { type: "string" },
  assetPaths: { type: "strings" },
  archivePaths: { type: "strings" },
};
const connection: Input = { type: "connection", required: true, secret: true };

/** Fields of a connection, and of its proxy but for `proxy` itself. */
export const connectionFields: Inputs = {
  host: { type: "string", required: true },
  port: { type: "number" },
  user: { type: "string" },
  password: { type: "string", secret: true },
  privateKey: { type: "string", secret: true },
  privateKeyPassword: { type: "string", secret: true },
  agentSocketPath: { type: "string" },
  dialErrorLimit: { type: "integer" },
  perDialTimeout: { type: "integer" },
  hostKey: { type: "string" },
};
/** What a connection gets where it says nothing: root, port 22, ten retries, 15 s for a dial. */
export const connectionDefaults = { user: "root", port: 22, dialErrorLimit: 10, perDialTimeout: 15 };

export const resources: Readonly<Record<string, Inputs>> = {
  "command:local:Command": { ...lifecycle, ...local },
  "command:remote:Command": { ...lifecycle, ...common, connection },
  "command:remote:CopyToRemote": {
    connection,
    source: { type: "source", required: true },
    remotePath: { type: "string", required: true },
    triggers: { type: "any[]", replaces: true },
  },
};
export const functions: Readonly<Record<string, Inputs>> = {
  "command:local:run": { ...local, command: { type: "string", required: true } },
};

/** The schema as JSON text. */
export function schemaText(): string {
  const outputs = { stdout: { type: "string" }, stderr: { type: "string" } };
  const described = Object.entries(resources).map(([token, inputs]) => [
    token,
    {
      inputProperties: properties(inputs),
      requiredInputs: required(inputs),
      properties: { ...properties(inputs), ...(token.endsWith(":Command") ? outputs : {}) },
    },
  ]);
  const callable = Object.entries(functions).map(([token, inputs]) => [
    token,
    {
      inputs: { type: "object", properties: properties(inputs), required: required(inputs) },
      outputs: { type: "object", properties: { ...properties(inputs), ...outputs } },
    },
  ]);
  return JSON.stringify({
    name: "command",
    version,
    description: "Bundled stand-in for development and tests",
    resources: Object.fromEntries(described),
    functions: Object.fromEntries(callable),
    types: {
      "command:remote:Connection": {
        type: "object",
        properties: {
          ...properties(connectionFields),
          proxy: { $ref: "#/types/command:remote:ProxyConnection" },
        },
        required: ["host"],
      },
      "command:remote:ProxyConnection": {
        type: "object",
        properties: properties(connectionFields),
        required: ["host"],
      },
    },
  });
}

const jsonTypes: Readonly<Record<InputType, object>> = {
  string: { type: "string" },
  boolean: { type: "boolean" },
  integer: { type: "integer" },
  number: { type: "number" },
  strings: { type: "array", items: { type: "string" } },
  texts: { type: "object", additionalProperties: { type: "string" } },
  "any[]": { type: "array", items: { $ref: "pulumi.json#/Any" } },
  logging: { type: "string" },
  connection: { $ref: "#/types/command:remote:Connection" },
  source: { oneOf: [{ $ref: "pulumi.json#/Asset" }, { $ref: "pulumi.json#/Archive" }], type: "object" },
};

function properties(inputs: Inputs): Record<string, object> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, input]) => [
      name,
      {
        ...jsonTypes[input.type],
        ...(input.secret === true ? { secret: true } : {}),
        ...(input.replaces === true ? { replaceOnChanges: true } : {}),
      },
    ]),
  );
}

function required(inputs: Inputs): string[] {
  return Object.keys(inputs).filter((name) => inputs[name]?.required === true);
}
