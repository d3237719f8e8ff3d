import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeEach, expect, test } from "vitest";
import { type EdgeAddress, WorkerApi } from "../../../components/edge/api.ts";
import { TakenOverError } from "../../../components/edge/front.ts";
import type { EdgeManifest, EdgePolicy } from "../../../components/edge/manifest.ts";
import type { Placed } from "../../../components/edge/records.ts";
import { packState, untouchedEdge } from "../../../components/edge/state-message.ts";
import { EdgeCutoverTarget } from "../../../components/edge/target.ts";
import type { Transport } from "../../../components/edge/transport.ts";
import type { OutsideCheck } from "../../../components/gates/outside.ts";
import { cutOver } from "../../../components/rollout/cutover/machine.ts";

/** On the edge: checks from outside, and the deployment is asked whom it serves before a release is confirmed. */

interface Deployed {
  id: string;
  annotations: Record<string, string>;
  versions: { version_id: string; percentage: number }[];
}

const address: EdgeAddress = {
  ...{ kind: "edge", system: "pod", accountId: "acc", worker: "pod", api: "https://api" },
};
let origin = "https://app";
let outside: OutsideCheck[] = [];
const policy = {
  steps: [],
  oldSecretsWork: false,
  healthSeconds: 1,
  get outside() {
    return outside;
  },
} as unknown as EdgePolicy;
const release = (fingerprint: string, name: string) => ({
  versionId: `version-${name}`,
  fingerprint,
  record: { manifest: { release: name } as EdgeManifest, colour: "blue", receipt: "r" } as const,
});
const placed: Placed = {
  releases: [release("aaaaaaaaaaaa", "v1"), release("bbbbbbbbbbbb", "v2")],
  closed: {
    versionId: "version-closed",
    record: {
      ...{ system: "pod", environment: "production" as const, policy, receipt: "r" },
      get front() {
        return origin;
      },
    },
  },
};

let deployed: Deployed[];
beforeEach(() => {
  outside = [];
  const state = { ...untouchedEdge, cutover: { ...untouchedEdge.cutover, confirmed: "aaaaaaaaaaaa" } };
  deployed = [
    {
      id: "d1",
      annotations: { "workers/message": packState(state) },
      versions: [{ version_id: "version-v1", percentage: 100 }],
    },
  ];
});

const send: Transport = async ({ method, body }) => {
  const answer = (result: unknown) => ({ status: 200, text: JSON.stringify({ success: true, result }) });
  if (method === "GET") return answer({ deployments: deployed });
  const { annotations, versions } = JSON.parse(String(body)) as Deployed;
  deployed.unshift({ id: `d${deployed.length + 1}`, annotations, versions });
  return answer(deployed[0]);
};

/** What it asks of the release itself is another test's. */
function target(): EdgeCutoverTarget {
  const made = new EdgeCutoverTarget(new WorkerApi(address, send), placed, {});
  made.checkHealth = async () => null;
  made.bake = async () => null;
  return made;
}

const request = { to: "bbbbbbbbbbbb", receipt: "r2" };
const atConfirm = (work: () => void) => (step: string) => {
  if (step === "confirm") work();
};

test("a deployment that gives all of the traffic to the release is confirmed", async () => {
  expect(await cutOver(target(), request)).toEqual({ held: true });
  expect(await target().lookAtDoors("bbbbbbbbbbbb")).toBeNull();
});

test("one whose shares are others is taken back, and the finding says which", async () => {
  const outcome = await cutOver(
    target(),
    request,
    atConfirm(() => {
      if (!deployed[0]) return;
      deployed[0].versions = [
        { version_id: "version-v2", percentage: 10 },
        { version_id: "version-v1", percentage: 90 },
      ];
    }),
  );
  expect(outcome).toMatchObject({
    held: false,
    failure: {
      step: "confirm",
      measured: "the deployment of pod serves 90 % v1, 10 % v2, not v2",
      allowed: "v2",
    },
  });
  expect(deployed[0]?.versions).toEqual([{ version_id: "version-v1", percentage: 100 }]);
});

test("one that somebody else has made is theirs: nothing is confirmed and nothing taken back", async () => {
  const late = cutOver(
    target(),
    request,
    atConfirm(() => {
      const versions = [{ version_id: "version-by-hand", percentage: 100 }];
      deployed.unshift({ id: "theirs", annotations: {}, versions });
    }),
  );
  await expect(late).rejects.toBeInstanceOf(TakenOverError);
  expect(deployed[0]?.id).toBe("theirs");
});

test("a check from outside asks for the release by version; one that fails takes it back, and is named", async () => {
  const overrides: unknown[] = [];
  const front = createServer((request, response) => {
    overrides.push(request.headers["cloudflare-workers-version-overrides"]);
    response.writeHead(request.url === "/agents" ? 404 : 200).end("gone");
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
  outside = [
    { kind: "answers", name: "frontend loads", url: "{front}/" },
    { kind: "answers", name: "route /agents", url: "{front}/agents" },
  ];
  const outcome = await cutOver(target(), request);
  front.closeAllConnections();
  front.close();
  expect(outcome).toMatchObject({
    held: false,
    failure: { step: "verify", rule: `route /agents: GET ${origin}/agents`, measured: "404 gone" },
  });
  expect(new Set(overrides)).toEqual(new Set(['pod="version-v2"']));
  expect(deployed[0]?.versions).toEqual([{ version_id: "version-v1", percentage: 100 }]);
});
