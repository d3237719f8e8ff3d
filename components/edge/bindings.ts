import type { Binding } from "./api.ts";
import type { EdgeManifest, ReleaseRecord } from "./manifest.ts";
import { recordBinding } from "./records.ts";

/** What a release's Worker sees in its `env`, but for the values of secrets. The only place that decides it. */
export function plainBindings(record: ReleaseRecord): Binding[] {
  const { settings, release, assets, main } = record.manifest;
  const values = { ...settings, RELEASE: release };
  return [
    ...Object.entries(values).map(([name, text]) => ({ type: "plain_text", name, text })),
    ...(assets && main !== null ? [{ type: "assets", name: "ASSETS" }] : []),
    recordBinding(record),
  ];
}

/** @throws naming every secret of the manifest without a value */
export function secretBindings(
  { system, release, secrets }: EdgeManifest,
  values: Readonly<Record<string, string>>,
): { type: "secret_text"; name: string; text: string }[] {
  const missing = Object.keys(secrets).filter((name) => !values[name]);
  if (missing.length > 0) throw new Error(`${system} ${release} lacks these secrets: ${missing.join(", ")}`);
  return Object.keys(secrets).map((name) => ({ type: "secret_text", name, text: values[name] ?? "" }));
}
