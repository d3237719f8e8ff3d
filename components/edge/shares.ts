import type { Share } from "./api.ts";

/**
 * Who gets which share of the traffic. A deployment has one or two versions and their shares make 100, so the rest
 * stays with what served before.
 */
export function sharesOf(next: string, percent: number, rest: string | null): Share[] {
  if (percent < 0 || percent > 100) throw new Error(`a share of traffic is 0 to 100 %, not ${percent}`);
  if (percent === 100 || rest === null || rest === next) return [{ versionId: next, percentage: 100 }];
  return [
    { versionId: next, percentage: percent },
    { versionId: rest, percentage: 100 - percent },
  ];
}

/** The version all traffic goes to; null where it is shared. */
export function onlyServing(shares: readonly Share[]): string | null {
  return shares.find(({ percentage }) => percentage === 100)?.versionId ?? null;
}

/** Whether any request may reach the version by itself. */
export function serves(shares: readonly Share[], versionId: string): boolean {
  return shares.some((share) => share.versionId === versionId && share.percentage > 0);
}

export function sameShares(one: readonly Share[], other: readonly Share[]): boolean {
  const text = (shares: readonly Share[]) =>
    shares
      .map(({ versionId, percentage }) => `${versionId} ${percentage}`)
      .sort()
      .join();
  return text(one) === text(other);
}
