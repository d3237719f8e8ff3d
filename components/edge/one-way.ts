import type { EdgeManifest, EdgePolicy } from "./manifest.ts";

/**
 * What would make the way back impossible, found before anything is placed. Cloudflare refuses to deploy an older
 * version across a Durable Object migration at all, and across a changed secret unless it is forced to.
 *
 * @param serving the release that traffic would be taken back to; null before the first one
 * @param migrationTag the Durable Object migration the Worker has been through
 * @returns what stands in the way and what to do about it, one sentence each; none when the way back is free
 */
export function hindrances(
  next: EdgeManifest,
  serving: EdgeManifest | null,
  migrationTag: string | null,
  { oldSecretsWork }: Pick<EdgePolicy, "oldSecretsWork">,
): string[] {
  const found: string[] = [];
  if (next.migrationTag !== migrationTag) {
    found.push(
      `${next.release} needs the Durable Object migration ${next.migrationTag ?? "none"}, the Worker is at ` +
        `${migrationTag ?? "none"}: a migration cannot be taken back, so it is not part of a release; run it alone ` +
        `with the code that serves (\`wrangler deploy\`), then release`,
    );
  }
  const changed = serving ? changedSecrets(serving, next) : [];
  if (changed.length > 0 && !oldSecretsWork) {
    found.push(
      `${next.release} has another ${changed.join(", ")} than ${serving?.release}, which would come back with the ` +
        "old value: where that still works, say so (edge.oldSecretsWork: true), and the way back is forced",
    );
  }
  return found;
}

/** Names of secrets that both have, with another value; one that only one of them has hinders nothing. */
export function changedSecrets(one: EdgeManifest, other: EdgeManifest): string[] {
  return Object.keys(other.secrets)
    .filter((name) => one.secrets[name] !== undefined && one.secrets[name] !== other.secrets[name])
    .sort();
}
