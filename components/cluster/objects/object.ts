/** A Kubernetes object as plain data: what is sent to the API server, registered with the engine, written to a file. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
  readonly [other: string]: unknown;
}

export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Each object as one file's name and text, in the order in which they are to be applied. JSON is YAML too. */
export function manifestFiles(objects: readonly KubernetesObject[]): { name: string; text: string }[] {
  return objects.map((object, index) => ({
    name: `${String(index + 1).padStart(2, "0")}-${object.kind.toLowerCase()}-${object.metadata.name}.json`,
    text: `${JSON.stringify(object, null, 2)}\n`,
  }));
}
