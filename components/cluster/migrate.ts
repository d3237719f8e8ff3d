import { setTimeout as pause } from "node:timers/promises";
import type { ClusterApi } from "./api.ts";
import { complaintOf, type Pod } from "./baker/pods.ts";
import type { ClusterMigration, ClusterRelease } from "./manifest.ts";
import { annotation, releaseName, selectorText } from "./names.ts";
import { type MigrationStep, migrationJob } from "./objects/release.ts";
import { isFinished, type JobObject, type RecordObject } from "./observe.ts";

/** The schema's migration as Jobs: backup → apply → verify, and back where one of the last two fails (TRD-5). */

/** @returns where the backup is, in the words of the command that made it */
export async function backUp(
  api: ClusterApi,
  release: ClusterRelease,
  migration: ClusterMigration,
): Promise<string> {
  const marks = await marksOf(api, release);
  // A backup counts for the update it was made in; once the migration is done there is nothing left to save.
  if (marks[annotation.migrated]) return marks[annotation.backup] ?? "";
  const { ok, said } = await run(api, release, migration, "backup");
  const { system } = release.manifest;
  if (!ok)
    throw new Error(`the backup of ${system} before its migration failed: ${said}. Nothing was changed.`);
  const where = said || "the backup command did not say where";
  await mark(api, release, { [annotation.backup]: where });
  return where;
}

export async function migrate(
  api: ClusterApi,
  release: ClusterRelease,
  migration: ClusterMigration,
): Promise<void> {
  const marks = await marksOf(api, release);
  if (marks[annotation.migrated]) return;
  const backup = marks[annotation.backup];
  if (!backup)
    throw new Error(
      `${release.manifest.system}: no backup was made before its migration; run the whole update`,
    );
  for (const step of ["apply", "verify"] as const) {
    const { ok, said } = await run(api, release, migration, step);
    if (ok) continue;
    const reverted = await run(api, release, migration, "revert");
    const then = reverted.ok
      ? "It was rolled back"
      : `Rolling it back FAILED too (${reverted.said}): restore the backup before anything else`;
    throw new Error(
      `the migration of ${release.manifest.system} ${release.manifest.release} failed (${step}): ${said}\n` +
        `${then}. The backup is at: ${backup}. What served before still serves.`,
    );
  }
  await mark(api, release, { [annotation.migrated]: new Date().toISOString() });
}

async function run(
  api: ClusterApi,
  release: ClusterRelease,
  migration: ClusterMigration,
  step: MigrationStep,
): Promise<{ ok: boolean; said: string }> {
  const job = migrationJob(release, migration, step);
  const { name } = job.metadata;
  const deadline = performance.now() + (migration.seconds + 60) * 1000;
  const left = () => performance.now() < deadline;
  const { uid } = (await startAnew(api, job, left)).metadata;
  for (;;) {
    const found = await api.find<JobObject>("Job", name);
    if (found?.metadata.uid !== uid) return { ok: false, said: "somebody deleted its Job" };
    const [pod] = await api.list<Pod>("Pod", selectorText({ "batch.kubernetes.io/job-name": name }));
    if (isFinished(found) || !left()) {
      const last = pod?.status.containerStatuses?.[0]?.state?.terminated;
      const failed = found.status?.conditions?.find((one) => one.type === "Failed" && one.status === "True");
      const ok = isFinished(found) && !failed;
      const said = lastLine(last?.message) || (ok && pod ? lastLine(await wordsOf(api, pod, step)) : "");
      return {
        ok,
        said: said || (ok ? "" : (failed?.message ?? (pod ? complaintOf(pod) : "no pod of it ran"))),
      };
    }
    await pause(200);
  }
}

/** What a container wrote, where it ended well: its last message is then only what it put into a file for that. */
function wordsOf(api: ClusterApi, { metadata }: Pod, step: MigrationStep): Promise<string> {
  return api.logs(metadata.name, step, 20);
}

const lastLine = (text = "") => text.trim().split("\n").at(-1) ?? "";

/** A Job of an earlier try goes first; one that still runs is its engine's, and is waited for. */
async function startAnew(
  api: ClusterApi,
  job: ReturnType<typeof migrationJob>,
  left: () => boolean,
): Promise<JobObject> {
  for (;;) {
    const before = await api.find<JobObject>("Job", job.metadata.name);
    if (before && isFinished(before)) await api.remove("Job", job.metadata.name, before.metadata.uid);
    const created = before ? null : await api.create<JobObject>(job);
    if (created) return created;
    if (!left()) throw new Error(`Job ${job.metadata.name} of an earlier try still runs`);
    await pause(200);
  }
}

async function marksOf(api: ClusterApi, release: ClusterRelease): Promise<Readonly<Record<string, string>>> {
  const record = await api.find<RecordObject>("ConfigMap", recordName(release));
  if (!record)
    throw new Error(
      `${release.manifest.system} ${release.fingerprint} is not placed here; run the whole update`,
    );
  return record.metadata.annotations ?? {};
}

export async function mark(
  api: ClusterApi,
  release: ClusterRelease,
  annotations: Readonly<Record<string, string>>,
): Promise<void> {
  await api.patch("ConfigMap", recordName(release), { metadata: { annotations } });
}

const recordName = ({ manifest, fingerprint }: ClusterRelease) => releaseName(manifest.system, fingerprint);
