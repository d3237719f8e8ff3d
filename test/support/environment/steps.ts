import type { Ended } from "../checkout.ts";

/** What the engine did of each system, in the order in which it ended; `vault` is the environment's own. */
export type Steps = Readonly<Record<string, readonly string[]>>;

/**
 * By system, without fingerprints: what runs side by side with other systems is told apart by its name. Objects of one
 * list are registered side by side: between two steps of the program they are one line, in the order of their names.
 */
export function stepsBySystem({ output }: Pick<Ended, "output">): Steps {
  const line = /^\s*[-+~]*\s+(kubernetes|command|cloudflare|aws):\S+ (\S+) (.+)$/;
  const bySystem = new Map<
    string,
    { readonly objects: boolean; readonly what: string; readonly name: string }[]
  >();
  for (const text of output.split("\n")) {
    const [, by = "", full = "", said = ""] = line.exec(text.replaceAll("**", "")) ?? [];
    const [what] = /^(created|updated|deleted|replaced|(creating|updating|deleting) failed)/.exec(said) ?? [];
    if (what === undefined) continue;
    const [system = ""] = full.split("-");
    const name = full.replace(/-[0-9a-f]{12}/, "").slice(system.length + 1);
    const steps = bySystem.get(system) ?? [];
    if (steps.some((one) => one.what === what && one.name === name)) continue;
    steps.push({ objects: by === "kubernetes" || by === "aws", what, name });
    bySystem.set(system, steps);
  }
  return Object.fromEntries([...bySystem].map(([system, steps]) => [system, together(steps)]));
}

/** Gates before anything of a release is placed: they wait for nothing, and not for each other. */
const beforehand = /-(certificate|database|scan|evidence)-run /;

/** The steps of one release, and the cutover, in their order; gates that come before all others by their names. */
export function orderOf(steps: readonly string[] = [], release: string): string[] {
  const own = steps.filter((step) => step.startsWith(`${release}-`) || step.startsWith("cutover "));
  const first = own.findIndex((step) => !beforehand.test(step));
  const count = first === -1 ? own.length : first;
  return [...own.slice(0, count).toSorted(), ...own.slice(count)];
}

/** Everything else: what a target needs once, by name. */
export function groundOf(steps: readonly string[] = []): string[] {
  const once = steps.filter((step) => !/^(v\d|bad)-|^cutover /.test(step));
  return once.flatMap((step) => step.replace(/ \w+$/, "").split(", ")).toSorted();
}

function together(
  done: readonly { readonly objects: boolean; readonly what: string; readonly name: string }[],
) {
  const lines: string[] = [];
  for (let index = 0; index < done.length; ) {
    const { objects, what } = done[index]!;
    let end = index + 1;
    while (objects && done[end]?.objects && done[end]?.what === what) end += 1;
    const names = done.slice(index, end).map(({ name }) => name);
    lines.push(`${names.toSorted().join(", ")} ${what}`);
    index = end;
  }
  return lines;
}
