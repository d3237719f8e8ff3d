import { Checkout, type Ended } from "../checkout.ts";

/** A checkout whose stack is one environment of some systems, config and all, as its people have it. */
export class ClusterTrial {
  readonly checkout: Checkout;

  constructor(environment: NodeJS.ProcessEnv) {
    this.checkout = new Checkout({ environment });
  }

  /** Makes the stack of these systems: its file as the repository has it, with these keys set and these secrets. */
  async make(
    stack: string,
    systems: readonly string[],
    changes: Readonly<Record<string, unknown>>,
    secrets: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    this.checkout.editConfig((document) => {
      for (const key of Object.keys((document.toJS() as { config: object }).config)) {
        if (!systems.includes(key.split(":")[0] ?? "")) document.deleteIn(["config", key]);
      }
      for (const [key, value] of Object.entries(changes)) document.setIn(["config", key], value);
    }, stack);
    const made = await this.checkout.pulumi("stack", "init", "--stack", stack);
    if (made.code !== 0) throw new Error(made.output);
    await this.setSecrets(stack, secrets);
  }

  async setSecrets(stack: string, secrets: Readonly<Record<string, string>>): Promise<void> {
    for (const [key, value] of Object.entries(secrets)) {
      const words = [
        "operations/switchyard.sh",
        "pulumi",
        "config",
        "set",
        "--stack",
        stack,
        "--secret",
        key,
      ];
      const set = await this.checkout.start(words, value).ended;
      if (set.code !== 0) throw new Error(set.output);
    }
  }

  /** Keys of a system's namespace, as a person with an editor changes them. */
  edit(stack: string, system: string, values: Readonly<Record<string, unknown>>): void {
    this.checkout.editConfig((document) => {
      for (const [key, value] of Object.entries(values))
        document.setIn(["config", `${system}:${key}`], value);
    }, stack);
  }

  up(stack: string, ...words: readonly string[]): Promise<Ended> {
    return this.checkout.pulumi("up", "--stack", stack, "--yes", "--skip-preview", ...words);
  }

  /** The whole state as text. */
  async state(stack: string): Promise<string> {
    const { stdout } = await this.checkout.pulumi("stack", "export", "--stack", stack);
    return stdout;
  }
}

/**
 * What the engine did, in the order in which it ended, without fingerprints. Objects of one list are registered side by
 * side: between two steps of the program they are one line, in the order of their names, workloads apart from the rest.
 * @example ["traider-v2-verify created", "traider-v2-configmap, traider-v2-secret-backend created"]
 */
export function stepsOf({ output }: Pick<Ended, "output">): string[] {
  const line = /^\s*[-+~]*\s+(command|kubernetes:apps|kubernetes)[:/]\S+ (\S+) (.+)$/;
  const done: { by: string; what: string; name: string }[] = [];
  for (const text of output.split("\n")) {
    const [, by = "", name = "", said = ""] = line.exec(text.replaceAll("**", "")) ?? [];
    const [what] = /^(created|updated|deleted|replaced|(creating|updating|deleting) failed)/.exec(said) ?? [];
    if (what === undefined) continue;
    const step = { by, what, name: name.replace(/-[0-9a-f]{12}/, "") };
    if (!done.some((one) => one.what === step.what && one.name === step.name)) done.push(step);
  }
  const steps: string[] = [];
  for (let index = 0; index < done.length; ) {
    const { by, what } = done[index]!;
    let end = index + 1;
    while (by !== "command" && done[end]?.by === by && done[end]?.what === what) end += 1;
    const names = done.slice(index, end).map(({ name }) => name);
    steps.push(`${names.toSorted().join(", ")} ${what}`);
    index = end;
  }
  return steps;
}
