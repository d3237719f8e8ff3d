import * as pulumi from "@pulumi/pulumi";
import { PackageChecks, Packages, type PackagesRelease } from "../components/packages/packages.ts";
import type { Release } from "../components/rollout/releases.ts";
import { sourceOf } from "./config/source.ts";
import { publishes } from "./pod.config.ts";
import type { PodStack } from "./pod.manifests.ts";

/** POD's packages (POD-6): packed before anything is placed, published last. */

/** That they build and pack; nothing in development, where the example has none. */
export function packed(
  stack: PodStack,
  release: Release,
  opts?: pulumi.ComponentResourceOptions,
): pulumi.Resource[] {
  if (stack.environment === "development") return [];
  return [new PackageChecks("pod", packagesOf(stack, release), opts)];
}

/** Once for each version, after everything else of the update. */
export function publish(stack: PodStack, release: Release, after: pulumi.Resource): void {
  const { environment, pod: config } = stack;
  const wanted = packagesOf(stack, release);
  if (wanted.packages.length === 0) return;
  if (publishes(config, environment)) {
    new Packages("pod", wanted, { dependsOn: [after] });
    return;
  }
  const names = wanted.packages.map(({ kind, name }) => `${name} (${kind})`).join(", ");
  if (!pulumi.runtime.isDryRun()) return;
  void pulumi.log.info(`${environment} publishes nothing; production publishes ${names} last, irreversibly`);
}

function packagesOf({ pod: config }: PodStack, release: Release): PackagesRelease {
  const entry = config.releases[release.name] ?? {};
  return {
    name: release.name,
    fingerprint: release.fingerprint,
    frozen: release.parts.every(({ frozen }) => frozen),
    packages: config.packages.map(({ kind, name, folder, build, registry }) => ({
      kind,
      name,
      folder,
      source: sourceOf(config.source, entry.version ?? release.name, entry),
      build: build ?? documentedBuild[kind].map((command) => `cd ${folder} && ${command}`),
      buildSeconds: 1800,
      ...(registry === undefined ? {} : { registry }),
    })),
  };
}

/** "CLI Package Deployment" and "SDK Deployment" of the document. */
const documentedBuild = {
  npm: ["bun install --frozen-lockfile", "bun run build", "bun run test:all"],
  cargo: ["cargo test"],
};
