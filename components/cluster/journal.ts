import { redactor } from "../box/toolkit/redact.ts";
import type { ClusterApi, LiveObject } from "./api.ts";
import { isReady, podsOf, restartsOf } from "./baker/pods.ts";
import type { ClusterRelease } from "./manifest.ts";
import { label, workloadName } from "./names.ts";

/**
 * The last lines of a release's pods, those of its secrets' values taken out; for the person who reads why it did not
 * hold. Pods that are not ready, or were started again, first. Never throws: it explains, it decides nothing.
 */
export async function journalOf(api: ClusterApi, release: ClusterRelease, lines = 10): Promise<string[]> {
  try {
    const redact = redactor(await secretsOf(api, release));
    const pods = await podsOf(api, release.manifest.system, release);
    const worst = pods
      .sort((a, b) => Number(isReady(a)) - Number(isReady(b)) || restartsOf(b) - restartsOf(a))
      .slice(0, 2);
    const said = await Promise.all(
      worst.map(async (pod) => {
        const { name } = pod.metadata;
        const service = pod.metadata.labels?.[label.service] ?? "";
        const now = await api.logs(name, service, lines);
        const before = restartsOf(pod) > 0 ? await api.logs(name, service, lines, true) : "";
        return `${before}${now}`
          .split("\n")
          .filter((line) => line.trim() !== "")
          .slice(-lines)
          .map((line) => `${service}: ${redact(line)}`);
      }),
    );
    return said.flat();
  } catch {
    return [];
  }
}

async function secretsOf(api: ClusterApi, { fingerprint, manifest }: ClusterRelease): Promise<string[]> {
  const names = manifest.services
    .filter(({ secrets }) => Object.keys(secrets).length > 0)
    .map(({ name }) => workloadName(manifest.system, name, fingerprint));
  const found = await Promise.all(
    names.map((name) => api.find<LiveObject & { data?: Record<string, string> }>("Secret", name)),
  );
  const encoded = found.flatMap((secret) => Object.values(secret?.data ?? {}));
  return encoded.map((value) => Buffer.from(value, "base64").toString("utf8"));
}
