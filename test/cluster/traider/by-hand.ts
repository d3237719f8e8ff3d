import type { ClusterRelease } from "../../../components/cluster/manifest.ts";
import { groundObjects } from "../../../components/cluster/objects/ground.ts";
import type { KubernetesObject } from "../../../components/cluster/objects/object.ts";
import { releaseObjects } from "../../../components/cluster/objects/release.ts";
import { fingerprint } from "../../../components/rollout/fingerprint.ts";
import { cutoverReceipt } from "../../../components/rollout/heal.ts";
import type { Deployer, Pin } from "./deployer.ts";
import type { World } from "./world.ts";

/** The engine's part played by hand, where its plugin is not on the machine: the same objects, verbs and order. */
export function byHand(world: World): Deployer {
  const { api, secrets } = world;
  let ground = world.ground();
  /** What the pins record: a release that was placed stays what it was. */
  const frozen = new Map<string, ClusterRelease>();
  let receipts = 0;

  const prepare = async () => {
    for (const object of groundObjects(ground)) {
      const isDoor = object.kind === "Service";
      if (!isDoor || !(await api.find(object.kind, object.metadata.name))) await api.apply(object);
    }
  };

  const place = async (release: ClusterRelease, receipt: string) => {
    const { replicas } = ground.policy;
    const { migration } = release.manifest;
    const values = { JWT_SECRET: secrets.jwtSecret };
    const objects = releaseObjects(release, replicas, values);
    const make = async (wanted: readonly KubernetesObject[]) => {
      for (const object of wanted)
        if (!(await api.find(object.kind, object.metadata.name))) await api.apply(object);
    };
    const run = (verb: string, input: object) =>
      world.verb([verb, "traider", release.manifest.release, release.fingerprint], { ...input, receipt });
    await make(objects.filter((object) => !isWorkload(object)));
    for (const verb of migration ? ["backup", "migrate"] : []) {
      const done = await run(verb, { release, migration });
      if (done.code !== 0) return done;
    }
    await make(objects.filter(isWorkload));
    return run("gates", { release, replicas, secrets: values });
  };

  const remove = async (release: ClusterRelease) => {
    const guard = await world.verb(["guard", "traider", release.manifest.release, release.fingerprint], {});
    if (guard.code !== 0) return guard;
    for (const { kind, metadata } of releaseObjects(release, {}, {}).reverse())
      await api.remove(kind, metadata.name);
    return guard;
  };

  return {
    name: "the program's own verbs over objects applied by hand",
    async deploy({ live, kept, bakeSeconds }) {
      ground = world.ground(bakeSeconds);
      receipts += 1;
      const receipt = `hand-${receipts}`;
      const pinned = [live, ...kept].map((pin) => frozen.get(pin.name) ?? releaseOf(world, pin));
      await prepare();
      const before = await world.observe();
      for (const release of pinned) {
        const known = before.known.find((one) => one.fingerprint === release.fingerprint);
        if (known?.placed) continue;
        const placed = await place(release, receipt);
        if (placed.code !== 0) return { ok: false, said: placed.stderr };
        frozen.set(release.manifest.release, release);
      }
      const [wanted] = pinned;
      if (!wanted) return { ok: true, said: "" };
      const carried = cutoverReceipt(wanted.fingerprint, [before], receipt);
      if (carried !== before.receipt) {
        const words = ["cutover", "traider", wanted.manifest.release, wanted.fingerprint];
        const moved = await world.verb(words, { receipt: carried });
        if (moved.code !== 0) return { ok: false, said: moved.stderr };
      }
      for (const { fingerprint: old, manifest } of before.known) {
        if (pinned.some((release) => release.fingerprint === old)) continue;
        const removed = await remove({ fingerprint: old, colour: "blue", manifest });
        if (removed.code !== 0) return { ok: false, said: removed.stderr };
      }
      return { ok: true, said: "" };
    },
    rotate: async (value) => {
      secrets.jwtSecret = value;
    },
    end: async () => {},
  };
}

export function releaseOf(world: World, pin: Pin): ClusterRelease {
  const manifest = world.manifest(pin);
  return { fingerprint: fingerprint(manifest), colour: pin.colour, manifest };
}

const isWorkload = ({ kind }: KubernetesObject) => kind === "Deployment" || kind === "StatefulSet";
