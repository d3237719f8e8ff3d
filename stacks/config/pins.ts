import type { ReleaseEntry } from "./fields.ts";
import type { SystemContext } from "./read.ts";

export interface Pins {
  readonly live?: string | undefined;
  readonly kept: readonly string[];
  readonly releases: Readonly<Record<string, ReleaseEntry>>;
}

/** Live and kept name releases that exist, each once; what is live is not marked bad. */
export function checkPins({ live, kept, releases }: Pins, problem: SystemContext["problem"]): void {
  const known = Object.keys(releases).join(", ") || "none yet";
  if (live !== undefined && !releases[live]) problem("live", live, `a release of the pins: ${known}`);
  for (const name of kept) {
    if (!releases[name]) problem("kept", name, `releases of the pins: ${known}`);
    if (name === live) problem("kept", name, "releases other than the live one");
  }
  const owners = new Map<string, string>();
  for (const [name, { fingerprint }] of Object.entries(releases)) {
    if (fingerprint === undefined) continue;
    const owner = owners.get(fingerprint);
    if (owner !== undefined) {
      problem(
        ["releases", name, "fingerprint"],
        `${fingerprint}, which is ${owner}'s`,
        "no fingerprint for a new release: it is computed",
        { remove: true },
      );
    }
    owners.set(fingerprint, name);
  }
  if (new Set(kept).size !== kept.length) problem("kept", kept.join(", "), "each release once");
}
