/** How long the vault keeps a backup (CHR-11). */
export interface Retention {
  /** Days that every backup can be restored for, at least. */
  readonly days: number;
  /** COMPLIANCE: nobody can shorten it, not even the account's owner. GOVERNANCE: who has the right for it can. */
  readonly mode: "COMPLIANCE" | "GOVERNANCE";
}

/**
 * Days that an object stays locked and is then deleted. A month's repository shares what has not changed between its
 * backups, so its last backup may need an object of its first day.
 */
export function keptDays({ days }: Retention): number {
  return days + 31;
}
