import { createHash } from "node:crypto";
import { planMigrations } from "./migration-plan.ts";
import { howToResolve, type MigrateOptions, type MigrateResult, underLock } from "./migrations.ts";

export interface ToolMigration extends Omit<MigrateOptions, "folder"> {
  /** @example ["npx", "prisma", "migrate", "deploy"] */
  readonly command: readonly string[];
  /** Runs the command to its end; throws, with what it printed, unless it exits 0. */
  readonly run: () => Promise<unknown>;
}

/**
 * A migration by a tool that keeps its own books (POD-3: Prisma). The database remembers it as it does a script, under
 * the same lock and with the same rules for what releases need: one row, the number that the release's schema provides.
 * The row is marked before the tool begins; a run that finds the mark runs the tool again, which goes on where it was
 * stopped, or refuses by its own mark and says why.
 */
export function migrateByTool(options: ToolMigration): Promise<MigrateResult> {
  const { schema, release, fingerprint, command, kept = [] } = options;
  return underLock(options, async (session) => {
    await session.createTable();
    const begun = session.applied.find((row) => row.dirty && row.number === schema.provides);
    const applied = session.applied.filter((row) => row !== begun);
    const own = {
      number: schema.provides,
      name: command.join(" "),
      sha256: createHash("sha256").update(command.join("\0")).digest("hex"),
    };
    const done = applied.map((row) => ({ ...row, up: "", down: null }));
    const migrations = done.some(({ number }) => number === own.number)
      ? done
      : [...done, { ...own, up: "", down: null }];
    const resolve = (number: number) => howToResolve(options, number);
    const plan = planMigrations({ migrations, applied, schema, kept, resolve });
    if (plan.apply.length === 0) return { from: plan.from, to: plan.to, applied: [], takenBack: null };
    if (begun) await session.forget(begun.number);
    const change = schema.change === "contract" ? "contract" : "expand";
    const supports = schema.change === "contract" ? schema.needs : 0;
    await session.record({ ...own, change, supports, release, fingerprint, dirty: true });
    const before = performance.now();
    try {
      await options.run();
    } catch (error) {
      throw new Error(
        `${(error as Error).message}\nThe releases that are placed go on as they are. The next update runs the tool ` +
          "again; where it says itself that it was left half-applied, resolve that with it first, or restore the backup " +
          "from before it",
      );
    }
    await session.mark(own.number, false);
    const milliseconds = Math.round(performance.now() - before);
    return { from: plan.from, to: plan.to, applied: [{ ...own, milliseconds }], takenBack: null };
  });
}
