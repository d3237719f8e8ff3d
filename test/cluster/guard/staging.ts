import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { findPlugins } from "../../../engine/plugins.ts";
import { secondsWithin } from "../../support/busy.ts";
import { Checkout, type Ended } from "../../support/checkout.ts";
import type { Cluster } from "../../support/cluster/cluster.ts";
import { examplePort } from "../../support/cluster/example.ts";
import type { Image } from "../../support/cluster/images.ts";

/** TRAIDER's staging stack on a test node, deployed by the real engine with the vendors' plugins. */

export const namespace = "traider-staging";
const stack = ["--stack", "staging"];

/** Why the staging stack cannot run here; null where it can. */
export async function reasonNoVendors(): Promise<string | null> {
  const plugins = await findPlugins(process.env);
  const missing = ["kubernetes", "command"].filter(
    (wanted) => plugins.find(({ name }) => name === wanted)?.source !== "vendor",
  );
  if (missing.length === 0) return null;
  return `needs the vendor's ${missing.join(" and ")}: pulumi plugin install resource ${missing[0]}`;
}

export interface Pins {
  readonly live?: string;
  readonly kept: readonly string[];
}

export class Staging {
  private readonly checkout: Checkout;
  private readonly cluster: Cluster;
  private readonly images: Readonly<Record<string, Image>>;

  private constructor(checkout: Checkout, cluster: Cluster, images: Readonly<Record<string, Image>>) {
    this.checkout = checkout;
    this.cluster = cluster;
    this.images = images;
  }

  static async create(cluster: Cluster, images: Readonly<Record<string, Image>>): Promise<Staging> {
    const checkout = new Checkout({ systems: [], environment: { KUBECONFIG: cluster.kubeconfig } });
    checkout.environment.PULUMI_BACKEND_URL = pathToFileURL(join(checkout.directory, "state")).href;
    await checkout.start(["mkdir", "-p", join(checkout.directory, "state")]).ended;
    checkout.editConfig((document) => {
      const own = {
        "traider:cluster": clusterOf(cluster),
        "traider:vaultImage": cluster.nodeImage.reference,
      };
      document.set("config", { ...own, ...config });
    }, "staging");
    const must = ({ code, output }: Ended) => {
      if (code !== 0) throw new Error(output);
    };
    must(await checkout.pulumi("stack", "init", ...stack));
    for (const [key, value] of Object.entries(secrets)) must(await checkout.setSecret(key, value, "staging"));
    return new Staging(checkout, cluster, images);
  }

  /** Releases by the tags of the example that their images are of. */
  pin({ live, kept }: Pins): void {
    const names = live === undefined ? kept : [live, ...kept];
    this.checkout.editConfig((document) => {
      if (live === undefined) document.deleteIn(["config", "traider:live"]);
      else document.setIn(["config", "traider:live"], live);
      document.setIn(["config", "traider:kept"], kept);
      document.setIn(["config", "traider:releases"], Object.fromEntries(names.map(this.entryOf)));
    }, "staging");
  }

  up(...words: string[]): Promise<Ended> {
    return this.checkout.pulumi("up", ...stack, "--yes", "--skip-preview", ...words);
  }

  destroy(...words: string[]): Promise<Ended> {
    return this.checkout.pulumi("destroy", ...stack, "--yes", "--skip-preview", ...words);
  }

  flip(release: string): Promise<Ended> {
    return this.checkout.switchyard("flip", "traider", "--to", release, ...stack);
  }

  /** The whole state as text. */
  async state(): Promise<string> {
    return (await this.checkout.pulumi("stack", "export", ...stack)).stdout;
  }

  /** The engine's name of the one resource whose logical name matches. */
  async urn(pattern: RegExp): Promise<string> {
    const { deployment } = JSON.parse(await this.state()) as { deployment: { resources: { urn: string }[] } };
    const found = deployment.resources
      .map(({ urn }) => urn)
      .filter((urn) => pattern.test(urn.split("::").at(-1) ?? ""));
    if (found.length === 1 && found[0]) return found[0];
    throw new Error(`${pattern} names ${found.length} resources of the state: ${found.join(", ")}`);
  }

  forget(urn: string): Promise<Ended> {
    return this.checkout.pulumi("state", "delete", urn, ...stack, "--yes", "--force");
  }

  /** Everything of a release, and the Services with where they lead, each with its identity: as `kind/name uid`. */
  async serving(release: string): Promise<string[]> {
    const labelled = ["-l", `switchyard.dev/release=${release}`];
    const kinds =
      "deployment,statefulset,configmap,secret,serviceaccount,role,rolebinding,poddisruptionbudget";
    const identity = "{.kind}/{.metadata.name} {.metadata.uid}";
    const selector = "{.spec.selector.switchyard\\.dev/fingerprint}";
    const objects = await this.list([kinds, ...labelled], identity);
    const doors = await this.list(
      ["service", "-l", "switchyard.dev/part=door"],
      `${identity} leads to ${selector}`,
    );
    return [...objects, ...doors].sort();
  }

  /** Release that each of the two Services answers with, asked from inside the cluster. */
  async answers(): Promise<string[]> {
    const addresses = await this.list(["service", "-l", "switchyard.dev/part=door"], "{.spec.clusterIP}");
    return Promise.all(
      addresses.map(async (address) => {
        const words = ["curl", "-s", "-m", "5", "-o", "/dev/null", "-D", "-", `http://${address}/`];
        const { stdout } = await this.cluster.inside(words);
        return /^x-release: (\S+)/im.exec(stdout)?.[1] ?? "nothing";
      }),
    );
  }

  remove(): void {
    this.checkout.remove();
  }

  private async list(words: readonly string[], line: string): Promise<string[]> {
    const output = `jsonpath={range .items[*]}${line}{"\\n"}{end}`;
    const said = await this.cluster.kubectl(["get", ...words, "-n", namespace, "-o", output]);
    return said.split("\n").filter(Boolean);
  }

  private readonly entryOf = (tag: string, index: number) => {
    const reference = this.images[tag]?.reference ?? "";
    const images = { backend: reference, frontend: reference, worker: reference };
    return [tag, { version: tag, colour: index === 0 ? "green" : "blue", images }] as const;
  };
}

const clusterOf = ({ context, nodeImage }: Cluster) => ({
  context,
  namespace,
  bakerImage: nodeImage.reference,
});

export const secrets = {
  "switchyard:fingerprintKey": "k",
  "traider:jwtSecret": "jwt-1",
  "traider:dbPassword": "pw-1",
  "traider:databaseUrl": "postgresql://backup:reader-Kp20@staging-db.traider.local/traider_staging",
  "vault:password": "v4ult-Kp20",
  "vault:accessKeyId": "AKIDKp20",
  "vault:secretAccessKey": "s3cret-Kp20",
};

/**
 * What is not the documents': the example's command and paths, a bake that is long enough for one verdict, and a bucket
 * that is not AWS' and that no pod of the node reaches.
 */
const config = {
  "vault:bucket": "switchyard-vault-staging",
  "vault:region": "eu-central-1",
  "vault:endpoint": "https://127.0.0.1:1",
  "traider:services": {
    backend: { port: examplePort },
    frontend: { port: examplePort },
    worker: {
      command: ["node", "/app/dist/service.mjs"],
      port: examplePort,
    },
  },
  "traider:settings": { "worker.MODE": "singleton" },
  "traider:health": { path: "/health", checks: [{ path: "/api/auth/csrf" }] },
  "traider:bake": { seconds: 6, shortSeconds: 6, healthSeconds: secondsWithin(10), probesPerSecond: 20 },
};
