/** Names and labels, in one place: whoever looks for an object of the program builds its name here. */

const domain = "switchyard.dev";

export const label = {
  system: `${domain}/system`,
  service: `${domain}/service`,
  fingerprint: `${domain}/fingerprint`,
  colour: `${domain}/colour`,
  release: `${domain}/release`,
  /** What an object is to the program: see `part`. */
  part: `${domain}/part`,
} as const;

/** Values of the label `part` by which objects are looked up. */
export const part = {
  workload: "workload",
  record: "record",
  door: "door",
  colour: "colour-door",
  baker: "baker",
};

export const annotation = {
  /** On a release's record: the receipt of the engine's call that left it placed. */
  receipt: `${domain}/receipt`,
  /** On a release's record: when its gates were passed; the mark that the cutover asks for. */
  gates: `${domain}/gates`,
  /** On a release's record: where the backup before its migration is, and when it was applied. */
  backup: `${domain}/backup`,
  migrated: `${domain}/migrated`,
  /** On a workload's pods: when they were last replaced to end kept connections. */
  replaced: `${domain}/replaced`,
  /** On a Service: when it was last pointed at a release. */
  switched: `${domain}/switched`,
  /** On the baker's Lease: somebody wants its cutover ended, as JSON { id, by, reason }. */
  stop: `${domain}/stop`,
} as const;

/** Selects nothing: no release has it as its fingerprint. */
export const nothing = "none";

/** The stable Service of a serving service. */
export const doorName = (system: string, service: string): string => `${system}-${service}`;
/** The Service behind a colour's hostname. */
export const colourDoorName = (system: string, service: string, colour: string): string =>
  `${system}-${service}-${colour}`;
/** Workload, ConfigMap, Secret, PodDisruptionBudget and NetworkPolicy of a service in one release. */
export const workloadName = (system: string, service: string, fingerprint: string): string =>
  `${system}-${service}-${fingerprint}`;
/** ConfigMap with a release's manifest, and the release's own ServiceAccount. */
export const releaseName = (system: string, fingerprint: string): string => `${system}-${fingerprint}`;
/** ConfigMap with what the cluster remembers of a system's traffic. */
export const stateName = (system: string): string => `switchyard-${system}`;
/** Job, ServiceAccount, Role and program of the baker. */
export const bakerName = (system: string): string => `${system}-baker`;
/** ConfigMap with what changes in place. */
export const policyName = (system: string): string => `${system}-policy`;
export const migrationName = (system: string, step: string, fingerprint: string): string =>
  `${system}-${step}-${fingerprint}`;

/** @example "switchyard.dev/system=traider,switchyard.dev/part=record" */
export function selectorText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
}
