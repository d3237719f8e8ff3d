/** The environments of the documents, in the order in which a release goes through them (TRD-1). */
export const environments = ["development", "testing", "staging", "production"] as const;

export type EnvironmentName = (typeof environments)[number];

/** The environment that a stack is: the last part of a full name (`organisation/project/stack`); any other is none. */
export function environmentOf(stack: string | undefined): EnvironmentName | undefined {
  return environments.find((name) => name === stack?.split("/").at(-1));
}

/** Nobody's work is lost with it: it is destroyed without being armed, and nothing of it is protected or backed up. */
export function isDisposable(environment: EnvironmentName | undefined): boolean {
  return environment === "development" || environment === "testing";
}
