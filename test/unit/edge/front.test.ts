import { describe, expect, test } from "vitest";
import { type EdgeAddress, WorkerApi } from "../../../components/edge/api.ts";
import { FrontWriter, readFront, TakenOverError } from "../../../components/edge/front.ts";
import { packState, untouchedEdge } from "../../../components/edge/state-message.ts";
import type { ApiCall, Transport } from "../../../components/edge/transport.ts";
import { KilledError } from "../../../components/rollout/cutover/machine.ts";

const address: EdgeAddress = {
  kind: "edge",
  system: "pod",
  accountId: "acc",
  worker: "pod",
  api: "https://api",
};
const ours = { ...untouchedEdge, cutover: { ...untouchedEdge.cutover, confirmed: "aaaaaaaaaaaa" } };
const shares = (versionId: string) => [{ versionId, percentage: 100 }];

/** Cloudflare's deployments in memory; `fault` strikes the next post before or after it takes effect. */
class Deployments {
  list: { id: string; annotations: Record<string, string>; versions: object[] }[] = [];
  posts: ApiCall[] = [];
  fault: "before" | "after" | null = null;

  add(message: string, versionId: string): void {
    const id = `d${this.list.length + 1}`;
    const versions = [{ version_id: versionId, percentage: 100 }];
    this.list.unshift({ id, annotations: { "workers/message": message }, versions });
  }

  readonly send: Transport = async (call) => {
    const answer = (result: unknown) => ({ status: 200, text: JSON.stringify({ success: true, result }) });
    if (call.method === "GET") return answer({ deployments: this.list });
    this.posts.push(call);
    const { fault } = this;
    this.fault = null;
    if (fault === "before") return { status: 502, text: "<html>bad gateway</html>" };
    const body = JSON.parse(String(call.body)) as { annotations: Record<string, string>; versions: object[] };
    const made = { id: `d${this.list.length + 1}`, annotations: body.annotations, versions: body.versions };
    this.list.unshift(made);
    return fault === "after" ? { status: 500, text: "{}" } : answer(made);
  };

  api(): WorkerApi {
    return new WorkerApi(address, this.send);
  }
}

test("what is remembered is found below a deployment that somebody else made", async () => {
  const cloudflare = new Deployments();
  cloudflare.add(packState(ours), "v1");
  expect(await readFront(cloudflare.api())).toMatchObject({ foreign: false, shares: shares("v1") });
  cloudflare.add("hotfix by hand", "v9");
  const front = await readFront(cloudflare.api());
  expect(front).toMatchObject({ foreign: true, shares: shares("v9") });
  expect(front?.state.cutover.confirmed).toBe("aaaaaaaaaaaa");
});

describe("a write", () => {
  test("changes what serves and what is remembered in one call, and leaves the other half alone", async () => {
    const cloudflare = new Deployments();
    cloudflare.add(packState(ours), "v1");
    const writer = new FrontWriter(cloudflare.api(), false);
    await writer.write({ shares: shares("v2") });
    await writer.write({ state: untouchedEdge });
    expect(
      cloudflare.list.map(({ versions, annotations }) => [versions, annotations["workers/message"]]),
    ).toEqual([
      [[{ version_id: "v2", percentage: 100 }], packState(untouchedEdge)],
      [[{ version_id: "v2", percentage: 100 }], packState(ours)],
      [[{ version_id: "v1", percentage: 100 }], packState(ours)],
    ]);
    expect(cloudflare.posts[0]?.path).toBe("/accounts/acc/workers/scripts/pod/deployments");
  });

  test("that goes back over a changed secret is forced", async () => {
    const cloudflare = new Deployments();
    cloudflare.add(packState(ours), "v1");
    await new FrontWriter(cloudflare.api(), true).write({ shares: shares("v0") });
    expect(cloudflare.posts[0]?.path).toMatch(/deployments\?force=true$/);
  });

  test("whose answer was lost is not made twice", async () => {
    const cloudflare = new Deployments();
    cloudflare.add(packState(ours), "v1");
    cloudflare.fault = "after";
    await new FrontWriter(cloudflare.api(), false).write({ shares: shares("v2") });
    expect(cloudflare.posts.length).toBe(1);
  });

  test("that never arrived is made again", async () => {
    const cloudflare = new Deployments();
    cloudflare.add(packState(ours), "v1");
    cloudflare.fault = "before";
    await new FrontWriter(cloudflare.api(), false).write({ shares: shares("v2") });
    expect(cloudflare.list.map(({ id }) => id)).toEqual(["d2", "d1"]);
  });

  test("gives way to whoever deployed meanwhile: nothing of a cutover may catch that", async () => {
    const cloudflare = new Deployments();
    cloudflare.add(packState(ours), "v1");
    const writer = new FrontWriter(cloudflare.api(), false);
    await writer.write({ shares: shares("v2") });
    cloudflare.add("hotfix by hand", "v9");
    const late = writer.write({ shares: shares("v1") });
    await expect(late).rejects.toBeInstanceOf(TakenOverError);
    await expect(late).rejects.toBeInstanceOf(KilledError);
    expect(cloudflare.list[0]?.versions).toEqual([{ version_id: "v9", percentage: 100 }]);
  });

  test("that the API refuses says why in the API's words, and is not repeated", async () => {
    const cloudflare = new Deployments();
    cloudflare.add(packState(ours), "v1");
    const refusing: Transport = async (call) =>
      call.method === "GET"
        ? cloudflare.send(call)
        : {
            status: 400,
            text: JSON.stringify({ success: false, errors: [{ code: 10220, message: "secret" }] }),
          };
    const write = new FrontWriter(new WorkerApi(address, refusing), false).write({ shares: shares("v0") });
    await expect(write).rejects.toThrow("deployments of https://api: secret (10220)");
  });
});

test("Cloudflare's API without a token is out of reach, and says what to set", async () => {
  const real = new WorkerApi({ ...address, api: "https://api.cloudflare.com/client/v4" });
  const token = process.env.CLOUDFLARE_API_TOKEN;
  delete process.env.CLOUDFLARE_API_TOKEN;
  await expect(real.deployments()).rejects.toThrow("CLOUDFLARE_API_TOKEN is not set");
  if (token !== undefined) process.env.CLOUDFLARE_API_TOKEN = token;
});
