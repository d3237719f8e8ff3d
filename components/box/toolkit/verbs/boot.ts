import type { Failure } from "../../../rollout/cutover/state.ts";
import { BoxTarget } from "../box-target.ts";
import { jobOf, settleRequests } from "../cutover-files.ts";
import type { Host } from "../host.ts";
import { findRelease, listSystems, readCutover } from "../records.ts";
import { singletons, unitName } from "../units.ts";
import { reportIfNone, resolvePending } from "./baker.ts";

/**
 * Runs at boot before the front door opens: a cutover that the reboot cut short is resolved to `confirmed`, so no
 * request after the boot reaches an unproved release. Singletons start once the boot lets units start.
 */
export async function boot(host: Host): Promise<void> {
  const systems = await listSystems(host);
  const resolved = await Promise.allSettled(systems.map((system) => resolvePending(host, system, "reboot")));
  for (const [index, system] of systems.entries()) await reportReboot(host, system, resolved[index]);
  await host.launch("singletons", ["start-singletons"]);
  throwFirst(resolved);
}

/** Whoever asked for a cutover, and asks again once the machine is back, is told what became of it. */
async function reportReboot(
  host: Host,
  system: string,
  resolved: PromiseSettledResult<Failure | null> | undefined,
): Promise<void> {
  await settleRequests(host, system, async (request) => {
    const failure = resolved?.status === "fulfilled" ? resolved.value : null;
    await reportIfNone(host, system, request, failure, "the machine was started again");
  });
}

/** Starts the singletons of what is confirmed, and of nothing else (ALL-6). One that does not start holds no other up. */
export async function startSingletons(host: Host): Promise<void> {
  const systems = await listSystems(host);
  throwFirst(await Promise.allSettled(systems.map((system) => startSingletonsOf(host, system))));
}

async function startSingletonsOf(host: Host, system: string): Promise<void> {
  const { confirmed } = await readCutover(host, system);
  const release = confirmed === null ? null : await findRelease(host, system, confirmed);
  if (!release) return;
  const names = singletons(release).map((service) => unitName(release, service));
  throwFirst(await Promise.allSettled(names.map((name) => host.startUnit(name))));
}

/** Each has had its turn: now the first failure is told. */
function throwFirst(settled: readonly PromiseSettledResult<unknown>[]): void {
  for (const one of settled) if (one.status === "rejected") throw one.reason;
}

/** Puts traffic where it belongs after taking back had failed (`switchyard recover`). A living baker is left alone. */
export async function recover(host: Host, system: string): Promise<void> {
  if (await host.launched(jobOf(system))) {
    throw new Error(
      `a cutover of ${system} runs on this box at this moment: wait for its verdict, or flip away from it`,
    );
  }
  const target = new BoxTarget(host, system);
  await resolvePending(host, system, "killed");
  await target.moveTraffic((await readCutover(host, system)).confirmed, "back");
}
