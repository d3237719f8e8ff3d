import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { CommanderError } from "commander";
import { expect, it } from "vitest";
import { createProgram } from "../../operations/main.ts";

/** Every `switchyard …` that a message or a page advises is one that the command line takes. */
const checkout = join(import.meta.dirname, "../..");
const files = globSync(
  ["{components,operations,stacks,engine}/**/*.ts", "README.md", "CONTRIBUTING.md", "docs/**/*.md"],
  { cwd: checkout },
);

interface Advice {
  readonly file: string;
  readonly words: readonly string[];
}

function adviceIn(file: string): Advice[] {
  const text = readFileSync(join(checkout, file), "utf8");
  // A template that begins so is a value of the program's, not words for a reader.
  const quoted = [...text.matchAll(/(?<!= )\\?`(?:npm run )?switchyard ([a-z][^`\\]*)\\?`/g)];
  const blocks = file.endsWith(".md") ? [...text.matchAll(/^ {4}switchyard ([a-z][^\n#]*)/gm)] : [];
  return [...quoted, ...blocks].map(([, said = ""]) => ({ file, words: wordsOf(said) }));
}

/** What the reader or the program fills in is one word. */
function wordsOf(said: string): string[] {
  return said
    .replaceAll(/\$\{[^}]*\}|<[^>]*>|…/g, "x")
    .split(/\s+/)
    .filter((word) => word !== "");
}

async function refusalOf({ words }: Advice): Promise<string | null> {
  const silent = () => new PassThrough().resume() as unknown as NodeJS.WriteStream;
  const program = createProgram({ environment: {}, stdout: silent(), stderr: silent() }, async () => {});
  const [name = ""] = words;
  const known = program.commands.find((command) => command.name() === name);
  if (!known) return `there is no command ${name}`;
  // A command that is only mentioned, in a sentence about it.
  if (words.length === 1) return null;
  try {
    await program.parseAsync(words, { from: "user" });
    return null;
  } catch (error) {
    if (error instanceof CommanderError) return error.message;
    throw error;
  }
}

it("is a command with the arguments and options that it takes", async () => {
  const advised = files.flatMap(adviceIn).filter(({ words }) => words[0] !== "pulumi");
  expect(advised.length).toBeGreaterThan(50);
  const refused: string[] = [];
  for (const advice of advised) {
    const why = await refusalOf(advice);
    if (why !== null) refused.push(`${advice.file}: switchyard ${advice.words.join(" ")}: ${why}`);
  }
  expect(refused).toEqual([]);
});

it("would notice a command that is not there, and an argument that none takes", async () => {
  const refusals = ["undo", "rollback traider", "flip --to v2", "release chrono"].map((said) =>
    refusalOf({ file: "", words: wordsOf(said) }),
  );
  expect(await Promise.all(refusals)).toEqual([
    "there is no command undo",
    "error: too many arguments for 'rollback'. Expected 0 arguments but got 1: traider.",
    "error: missing required argument 'system'",
    "error: missing required argument 'version'",
  ]);
});
