import type { KeyPath } from "./advice.ts";
import type { Pins } from "./pins.ts";
import type { SystemContext } from "./read.ts";

/** Settings by name; one that begins with a service's name and a dot (`worker.LOG_LEVEL`) is that service's alone. */
type Settings = Readonly<Record<string, string>>;

/** What a service gets of a release's frozen settings, else of today's: all that is everybody's, then its own. */
export function serviceSettings(
  service: string,
  entry: { readonly settings?: Settings | undefined },
  config: { readonly settings: Settings },
): Record<string, string> {
  const all = Object.entries(entry.settings ?? config.settings);
  const own = `${service}.`;
  return Object.fromEntries([
    ...all.filter(([name]) => !name.includes(".")),
    ...all
      .filter(([name]) => name.startsWith(own))
      .map(([name, value]) => [name.slice(own.length), value] as const),
  ]);
}

type WithSettings = Pick<Pins, "releases"> & { readonly settings: Settings };

/** Today's settings and those that releases have frozen, each with its key. */
export function allSettings({ settings, releases }: WithSettings): (readonly [key: KeyPath, Settings])[] {
  const frozen = Object.entries(releases).map(
    ([name, entry]) => [["releases", name, "settings"], entry.settings ?? {}] as const,
  );
  return [["settings", settings], ...frozen];
}

/** A setting of a service that the system does not have would reach nobody. */
export function checkSettings(
  config: WithSettings,
  services: readonly string[],
  problem: SystemContext["problem"],
): void {
  for (const [key, given] of allSettings(config)) {
    for (const name of Object.keys(given)) {
      const [service = "", own] = name.split(".");
      if (own === undefined || services.includes(service)) continue;
      problem(key, name, `NAME, or <service>.NAME with a service of ${services.join(", ")}`);
    }
  }
}
