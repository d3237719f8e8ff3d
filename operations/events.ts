import { stripVTControlCharacters } from "node:util";

/**
 * What the engine says while it works (`pulumi up --json`: one event a line, secrets already blinded by the engine),
 * reduced to what people are told: steps by system, what failed, what was placed, the outputs.
 */

interface StepMetadata {
  readonly op: string;
  readonly urn: string;
  readonly type: string;
  readonly old?: { readonly custom?: boolean; readonly outputs?: Record<string, unknown> } | null;
  readonly new?: { readonly custom?: boolean; readonly outputs?: Record<string, unknown> } | null;
}

export interface EngineEvent {
  readonly timestamp?: number;
  readonly preludeEvent?: object;
  readonly resourcePreEvent?: { readonly metadata: StepMetadata; readonly planning?: boolean };
  readonly resOutputsEvent?: { readonly metadata: StepMetadata; readonly planning?: boolean };
  readonly resOpFailedEvent?: { readonly metadata: StepMetadata };
  readonly diagnosticEvent?: {
    readonly urn?: string;
    readonly message: string;
    readonly severity: string;
    readonly ephemeral?: boolean;
  };
  readonly summaryEvent?: {
    readonly durationSeconds: number;
    readonly resourceChanges: Record<string, number>;
    readonly result: "succeeded" | "failed" | "canceled";
  };
  readonly progressEvent?: { readonly message: string; readonly done: boolean };
}

/** A resource's place in the rollout, read off its name. */
export interface Step {
  readonly system: string | null;
  readonly release: string | null;
  readonly fingerprint: string | null;
  /** `place`, `gates`, `cutover`, … or the whole name of something that belongs to no system. */
  readonly name: string;
}

export type Resolve = (urn: string) => Step;

/** Names are `<system>-<release>-<fingerprint>-<step>` and `<system>-<step>`. */
export function stepResolver(systems: readonly string[]): Resolve {
  const longestFirst = [...systems].sort((a, b) => b.length - a.length);
  return (urn) => {
    const name = urn.slice(urn.lastIndexOf("::") + 2);
    const system = longestFirst.find((each) => name.startsWith(`${each}-`)) ?? null;
    if (system === null) return { system, release: null, fingerprint: null, name };
    const rest = name.slice(system.length + 1);
    const [, release = null, fingerprint = null, step] = /^(.+)-([0-9a-f]{12})(?:-(.+))?$/.exec(rest) ?? [];
    return { system, release, fingerprint, name: step ?? (fingerprint === null ? rest : "release") };
  };
}

/** A step that the engine runs or has run; "same" and "read" are none. */
export interface RunningStep extends Step {
  readonly urn: string;
  readonly op: string;
  /** Milliseconds since 1970. */
  readonly began: number;
}

export interface FinishedStep extends RunningStep {
  readonly ended: number;
  readonly failed: boolean;
}

export interface Problem {
  readonly system: string | null;
  readonly step: Step | null;
  readonly message: string;
}

export interface RunRecord {
  readonly running: ReadonlyMap<string, RunningStep>;
  readonly finished: readonly FinishedStep[];
  /** Errors that the engine reported, first to last. */
  readonly problems: readonly Problem[];
  /** Notes and warnings of the program and the providers. */
  readonly notes: readonly string[];
  /** Fingerprint by system and release, of everything that stays. */
  readonly placed: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly summary: { readonly result: string; readonly changes: Readonly<Record<string, number>> } | null;
}

/** What one event meant, for whoever shows progress. */
export type Progress =
  | { readonly kind: "began"; readonly step: RunningStep }
  | { readonly kind: "ended"; readonly step: FinishedStep }
  | {
      readonly kind: "note";
      readonly text: string;
      readonly severity: string;
      readonly system: string | null;
    };

/** Collects a run's events. `take` answers what there is to show, if anything. */
export class RunEvents {
  readonly #resolve: Resolve;
  readonly #now: () => number;
  readonly #running = new Map<string, RunningStep>();
  readonly #finished: FinishedStep[] = [];
  readonly #problems: Problem[] = [];
  readonly #notes: string[] = [];
  readonly #placed: Record<string, Record<string, string>> = {};
  #outputs: Record<string, unknown> = {};
  #summary: RunRecord["summary"] = null;

  constructor(resolve: Resolve, now: () => number = Date.now) {
    this.#resolve = resolve;
    this.#now = now;
  }

  get record(): RunRecord {
    return {
      running: this.#running,
      finished: this.#finished,
      problems: this.#problems,
      notes: this.#notes,
      placed: this.#placed,
      outputs: this.#outputs,
      summary: this.#summary,
    };
  }

  take(event: EngineEvent): Progress | null {
    if (event.resourcePreEvent) return this.#begin(event.resourcePreEvent.metadata);
    if (event.resOutputsEvent) return this.#end(event.resOutputsEvent.metadata, false);
    if (event.resOpFailedEvent) return this.#end(event.resOpFailedEvent.metadata, true);
    if (event.diagnosticEvent) return this.#diagnose(event.diagnosticEvent);
    if (event.summaryEvent) {
      this.#summary = { result: event.summaryEvent.result, changes: event.summaryEvent.resourceChanges };
    }
    return null;
  }

  #begin(metadata: StepMetadata): Progress | null {
    this.#notePlaced(metadata);
    if (!isWork(metadata)) return null;
    const step = { ...this.#resolve(metadata.urn), urn: metadata.urn, op: metadata.op, began: this.#now() };
    this.#running.set(metadata.urn, step);
    return { kind: "began", step };
  }

  #end(metadata: StepMetadata, failed: boolean): Progress | null {
    if (metadata.type === "pulumi:pulumi:Stack") this.#outputs = { ...metadata.new?.outputs };
    const running = this.#running.get(metadata.urn);
    if (!running) return null;
    this.#running.delete(metadata.urn);
    const step = { ...running, ended: this.#now(), failed };
    this.#finished.push(step);
    return { kind: "ended", step };
  }

  #diagnose({
    urn,
    message,
    severity,
    ephemeral,
  }: NonNullable<EngineEvent["diagnosticEvent"]>): Progress | null {
    if (severity === "debug" || ephemeral) return null;
    const text = plain(message);
    if (text === "" || isNoise(text)) return null;
    const step = urn ? this.#resolve(urn) : null;
    if (severity === "error") {
      this.#problems.push({ system: step?.system ?? null, step, message: text });
      return null;
    }
    this.#notes.push(text);
    return { kind: "note", text, severity, system: step?.system ?? null };
  }

  #notePlaced({ op, urn }: StepMetadata): void {
    const { system, release, fingerprint } = this.#resolve(urn);
    if (system === null || release === null || fingerprint === null || op.startsWith("delete")) return;
    this.#placed[system] ??= {};
    this.#placed[system][release] = fingerprint;
  }
}

/** Systems in which something failed, with the first error of each; by "" those errors that belong to no system. */
export function failuresBySystem(record: RunRecord): Map<string, string> {
  const failures = new Map<string, string>();
  const add = (system: string | null, message: string) => {
    if (!failures.has(system ?? "")) failures.set(system ?? "", message);
  };
  for (const { system, message, step } of record.problems) {
    // The stack's own "update failed" says nothing that the failing step has not said.
    if (step?.system === null && /^(update|preview|destroy) failed$/.test(message)) continue;
    add(system, message);
  }
  for (const step of record.finished) if (step.failed) add(step.system, `${step.name} failed`);
  return failures;
}

/** Whether the engine came to change anything; where not, world, state and the pins before are still one. */
export const touchedAnything = (record: RunRecord): boolean =>
  record.finished.length > 0 || record.running.size > 0;

const isWork = ({ op, old, new: after }: StepMetadata): boolean =>
  op !== "same" && !op.startsWith("read") && Boolean((after ?? old)?.custom);

const isNoise = (text: string): boolean => /^using pulumi-\S+ from \$PATH/.test(text);

/** Pulumi marks colours as `<{%fg 1%}>` or as escape sequences. */
const plain = (text: string): string => stripVTControlCharacters(text.replace(/<\{%[^%]*%\}>/g, "")).trim();
