/** One thing wrong in a stack's config, said so that the reader can mend it without looking anything up. */
export interface ConfigProblem {
  /** Full key, with the path inside it: `chrono:releases.v2.colour`, `chrono:releases["v1.5.0"].colour`. */
  readonly key: string;
  readonly found: string;
  readonly allowed: string;
  /** Command that mends it, with the stack. */
  readonly command: string;
}

/** Every problem of a stack's config at once; nothing has been changed when it is thrown. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(stack: string, problems: readonly ConfigProblem[]) {
    const lines = problems.map(
      ({ key, found, allowed, command }) => `  ${key}: found ${found}; allowed: ${allowed}\n    ${command}`,
    );
    const count = problems.length === 1 ? "one problem" : `${problems.length} problems`;
    super(`the config of stack ${stack} has ${count}; nothing was changed\n${lines.join("\n")}`);
    this.name = "ConfigError";
    this.problems = problems;
  }
}
