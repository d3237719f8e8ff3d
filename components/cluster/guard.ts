import type { ClusterApi } from "./api.ts";
import { type DoorObject, ledTo } from "./baker/doors.ts";
import { Memory, stateOf } from "./memory.ts";
import { label, part, selectorText } from "./names.ts";
import { recordsOf, releaseOf } from "./observe.ts";

/**
 * What serves is never deleted: refuses while the release is confirmed, in a cutover, or any stable Service leads to it.
 * Armed for a destroy, traffic has left before this is asked.
 */
export async function refuseIfServing(
  api: ClusterApi,
  system: string,
  release: string,
  fingerprint: string,
): Promise<void> {
  const [remembered, doors, records] = await Promise.all([
    new Memory(api, system).read(),
    api.list<DoorObject>("Service", selectorText({ [label.system]: system, [label.part]: part.door })),
    recordsOf(api, system),
  ]);
  // A state may hold a guard under a name that the release was never placed by: deleting it leaves the release alone.
  const known = records.map(releaseOf).find((one) => one.fingerprint === fingerprint);
  if (known && known.manifest.release !== release) return;
  const { confirmed, pending } = stateOf(remembered);
  const led = doors
    .filter((door) => ledTo(door) === fingerprint)
    .map(({ metadata }) => `Service ${metadata.name}`);
  const why = [
    ...(confirmed === fingerprint ? ["it is confirmed"] : []),
    ...(pending && [pending.from, pending.to].includes(fingerprint) ? ["a cutover of it has not ended"] : []),
    ...(led.length > 0 ? [`${led.join(", ")} leads to it`] : []),
  ];
  if (why.length === 0) return;
  throw new Error(
    `${system} ${release} (${fingerprint}) serves and is not deleted: ${why.join("; ")}. Make another release live first ` +
      `(\`switchyard rollback --system ${system}\`), or arm a destroy (\`switchyard destroy --arm\`)`,
  );
}
