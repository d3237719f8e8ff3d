import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import type { Ended } from "../test/support/checkout.ts";
import type { StackName } from "../test/support/environment/config.ts";
import { EnvironmentTrial, systems } from "../test/support/environment/environment.ts";

/**
 * `pulumi preview` of the production stack, all five systems, beside two bare programs that register the same resources
 * with the same inputs, parents, dependencies and providers, in turn in one run, with the same engine and plugins (the
 * recorder's and the bundled `command`): `node bench/preview.ts [rounds]`, as root on Debian. `classes` is the program
 * a person writes, with the vendors' SDKs; `generic` loads no SDK but Pulumi's own. Before the first deployment, and
 * when everything is deployed and nothing has changed. The goal is at most 1.25 × the bare program.
 */
const rounds = Number(process.argv[2] ?? 9);
const programs = ["own", "classes", "generic"] as const;
type Program = (typeof programs)[number];

/** What a bare program needs to know of a resource. */
const kept = [
  ...["type", "custom", "inputs", "parent", "provider", "dependencies", "propertyDependencies"],
  ...["protect", "ignoreChanges", "additionalSecretOutputs"],
];

const trial = await EnvironmentTrial.start();
const bare = mkdtempSync(join(tmpdir(), "switchyard-bare-"));
const file = (name: string) => join(bare, name);
const there = ["--cwd", bare, "--stack", "bare"];

try {
  cpSync(join(import.meta.dirname, "preview"), bare, { recursive: true });
  cpSync(join(trial.checkout.directory, "Pulumi.yaml"), file("Pulumi.yaml"));
  symlinkSync(join(import.meta.dirname, "..", "node_modules"), file("node_modules"));
  // Production asks for what was proved in staging.
  await deploy("staging");
  await prepare("production");
  must(await trial.checkout.pulumi("stack", "init", ...there));
  await takePlan();
  await compare("the first deployment");
  must(await trial.up("production"));
  await takeState();
  await compare("nothing has changed");
} finally {
  await trial.stop();
  rmSync(bare, { recursive: true, force: true });
}
process.exit();

async function prepare(stack: StackName): Promise<void> {
  await trial.make(stack);
  trial.pin(stack, Object.fromEntries(systems.map((system) => [system, { live: "v1" }])));
}

async function deploy(stack: StackName): Promise<void> {
  await prepare(stack);
  must(await trial.up(stack));
}

/** The bare programs register what the own one asks for in its first preview. */
async function takePlan(): Promise<void> {
  trial.checkout.environment.PULUMI_EXPERIMENTAL = "true";
  const words = ["--stack", "production", "--save-plan", file("plan.json"), "--show-secrets"];
  must(await trial.checkout.pulumi("preview", ...words));
  delete trial.checkout.environment.PULUMI_EXPERIMENTAL;
  const { resourcePlans } = JSON.parse(asBare(readFileSync(file("plan.json"), "utf8"))) as {
    resourcePlans: Record<string, { goal: { inputDiff?: { adds?: object } } }>;
  };
  const goals = Object.entries(resourcePlans).map(([urn, { goal }]) => ({ urn, ...goal }));
  register(goals.map((goal) => ({ ...goal, inputs: goal.inputDiff?.adds })));
}

/** The bare programs register what the own one has deployed, in a stack that has it too. */
async function takeState(): Promise<void> {
  const words = ["stack", "export", "--stack", "production", "--show-secrets", "--file", file("state.json")];
  must(await trial.checkout.pulumi(...words));
  const state = asBare(readFileSync(file("state.json"), "utf8"));
  writeFileSync(file("state.json"), state);
  must(await trial.checkout.pulumi("stack", "import", ...there, "--file", file("state.json")));
  const { deployment } = JSON.parse(state) as { deployment: { resources: { urn: string }[] } };
  register(deployment.resources);
}

function register(resources: readonly { readonly urn: string }[]): void {
  const byUrn = Object.fromEntries(
    resources.map(({ urn, ...resource }) => {
      const goal = Object.fromEntries(Object.entries(resource).filter(([key]) => kept.includes(key)));
      return [urn, { ...goal, name: urn.split("::").at(-1) }];
    }),
  );
  writeFileSync(file("resources.json"), JSON.stringify(byUrn));
}

function asBare(text: string): string {
  return text
    .replaceAll("urn:pulumi:production::", "urn:pulumi:bare::")
    .replaceAll("switchyard-production", "switchyard-bare");
}

async function compare(what: string): Promise<void> {
  const times: Record<Program, number[]> = { own: [], classes: [], generic: [] };
  const before = loadavg()[0] ?? 0;
  const result = resultOf(await preview("own"));
  // The first round fills the caches.
  for (let round = 0; round <= rounds; round++) {
    for (const program of programs) {
      const ended = await preview(program);
      const found = resultOf(ended);
      if (found !== result) throw new Error(`${program} previews "${found}", own "${result}"`);
      if (round > 0) times[program].push(ended.milliseconds);
    }
  }
  console.log(`${what} (${result}), load ${before.toFixed(1)} to ${(loadavg()[0] ?? 0).toFixed(1)}`);
  for (const program of programs) {
    const values = times[program].toSorted((a, b) => a - b);
    const [min, median, max] = [values[0], middle(values), values.at(-1)].map(show);
    console.log(`${program.padEnd(8)} min ${min}  median ${median}  max ${max}`);
  }
  for (const program of ["classes", "generic"] as const) {
    const ratios = times.own.map((own, round) => own / (times[program][round] ?? 0)).sort((a, b) => a - b);
    const shown = ratios.map((ratio) => ratio.toFixed(2)).join(" ");
    console.log(`own / ${program}, in turns: median ${middle(ratios).toFixed(2)}  (${shown})`);
  }
}

function preview(program: Program): Promise<Ended> {
  if (program === "own") return trial.checkout.pulumi("preview", "--stack", "production");
  writeFileSync(file("package.json"), JSON.stringify({ type: "module", main: `${program}.ts` }));
  return trial.checkout.pulumi("preview", ...there);
}

/** The engine's last words: how many resources it would create, update, leave as they are. */
function resultOf(ended: Ended): string {
  must(ended);
  const [counts = ""] = (ended.output.split("\nResources:\n")[1] ?? "").split("\n\n");
  return counts.trim().replaceAll(/\s*\n\s*/g, ", ");
}

function must({ code, output }: Ended): void {
  if (code !== 0) throw new Error(output);
}

function middle(sorted: readonly number[]): number {
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function show(milliseconds = 0): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}
