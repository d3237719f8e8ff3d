import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "./durable.ts";
import type { Host } from "./host.ts";
import { type ReleaseRecord, readSecrets, systemDirectory } from "./records.ts";
import { redactAll, redactor } from "./redact.ts";
import { unitName } from "./units.ts";

/** Evidence of a failed gate or bake: the journals of a release, what was measured; secrets redacted. */

const keptFiles = 50;

/** Of each service: what the document's `journalctl -n 100` shows (CHR-7). */
export const journalLines = 100;

export interface Evidence {
  /** The last `journalLines` of each service's journal, oldest first: `<service>: <line>`. */
  readonly journal: string[];
  /** File on the box that holds the whole of it. */
  readonly evidence: string;
}

/** Writes the last journal lines of every service and the measurements to a file of its own; the lines are printed too. */
export async function keepEvidence(
  host: Host,
  release: ReleaseRecord,
  step: string,
  measured: unknown,
): Promise<Evidence> {
  const redact = redactor(Object.values(await readSecrets(host, release)));
  const journals = await Promise.all(
    release.manifest.services.map(async (service) => ({
      service: service.name,
      lines: (await host.journal(unitName(release, service), journalLines).catch(() => [])).map(redact),
    })),
  );
  const folder = join(systemDirectory(host, release.manifest.system), "evidence");
  const at = new Date().toISOString().replaceAll(":", "");
  const file = join(folder, `${at}-${release.manifest.release}-${step}.json`);
  const kept = redactAll(redact, { step, measured, journals });
  await writeDurably(file, `${JSON.stringify(kept, null, 2)}\n`);
  await forgetOldest(folder);
  return {
    evidence: file,
    journal: journals.flatMap(({ service, lines }) => lines.map((line) => `${service}: ${line}`)),
  };
}

/** The journal's lines as a failed step prints them; nothing where there are none. */
export function journalText(journal: readonly string[]): string[] {
  if (journal.length === 0) return [];
  return [`last ${journal.length} journal lines:`, ...journal.map((line) => `  ${line}`)];
}

async function forgetOldest(folder: string): Promise<void> {
  const files = (await readdir(folder)).sort();
  for (const file of files.slice(0, -keptFiles)) await rm(join(folder, file), { force: true });
}
