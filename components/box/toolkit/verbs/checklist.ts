import { join } from "node:path";
import { ChecklistError, goThrough, type Row, tableOf } from "../checklist.ts";
import { items } from "../checklist-items.ts";
import { writeDurably } from "../durable.ts";
import type { Host } from "../host.ts";
import { readPolicy, readSecrets, requireRelease, systemDirectory } from "../records.ts";
import { redactor } from "../redact.ts";
import type { Delivery } from "./preflight.ts";

/**
 * Goes through the checklist of a release before anything changes (DEI-1). The table is kept with the system's evidence.
 * Systems without a checklist pass with no row. @throws ChecklistError with the whole table
 */
export async function checklist(
  host: Host,
  { manifest, secrets }: Pick<Delivery, "manifest" | "secrets">,
): Promise<Row[]> {
  const { system, release } = manifest;
  const { checklist: wanted } = await readPolicy(host, system);
  if (!wanted) return [];
  const asked = { host, checklist: wanted, delivery: { manifest, secrets } };
  const rows = await goThrough(items, asked, redactor(Object.values(secrets)));
  const at = new Date().toISOString().replaceAll(":", "");
  const file = join(systemDirectory(host, system), "evidence", `${at}-${release}-checklist.txt`);
  // A full disk is one of the items: it must not keep the table from whoever waits for it.
  await writeDurably(file, `${tableOf(rows)}\n`).catch(() => {});
  if (rows.some(({ state }) => state !== "ok")) throw new ChecklistError(system, release, rows);
  return rows;
}

/** The same for a release that is on the box already, when somebody wants to know. */
export async function checklistOf(host: Host, system: string, fingerprint: string): Promise<Row[]> {
  const release = await requireRelease(host, system, fingerprint);
  return checklist(host, { manifest: release.manifest, secrets: await readSecrets(host, release) });
}
