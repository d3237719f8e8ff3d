import type { Host } from "./host.ts";
import type { Delivery } from "./verbs/preflight.ts";

/** The pre-deployment checklist (DEI-1): what it is asked against, and how its rows become one table. */

/** Questions that no machine answers: somebody looks, and says so for a release by name. */
export const questions = ["dashboards", "tests", "notified", "ticket", "approval"] as const;
export type Question = (typeof questions)[number];

/** Who looked, when, and where that can be read again. */
export interface Answer {
  readonly by: string;
  /** ISO time. */
  readonly at: string;
  /** @example "https://ci.example/runs/812", "CHG-4711" */
  readonly reference: string;
}

/**
 * What the items are checked against. It belongs to the system's policy and not to a release: an approval, or another
 * limit, makes no other release. What is absent cannot be checked: in development that item passes, elsewhere it fails.
 */
export interface Checklist {
  /** Names of the systemd units that are to run beside the connection, where they run on the box itself. */
  readonly units: { readonly postgres?: string; readonly ollama?: string; readonly redis?: string };
  /** Address of Ollama; `/api/tags` is asked. */
  readonly ollama?: string;
  readonly connectionsBelow: number;
  /** GiB. */
  readonly freeGigabytes: number;
  /** PEM file on the box. */
  readonly certificate?: string;
  readonly certificateDays: number;
  /** Environment variables that every release is to have a value for. */
  readonly variables: readonly string[];
  /** Answers by release and question. */
  readonly answers: Readonly<Record<string, Partial<Readonly<Record<Question, Answer>>>>>;
  /** An answer older than this was given for another day. */
  readonly answerDays: number;
}

/** What an item looks at. */
export interface Asked {
  readonly host: Host;
  readonly checklist: Checklist;
  readonly delivery: Pick<Delivery, "manifest" | "secrets">;
}

/** One line of the document's list. */
export interface Item {
  readonly number: number;
  readonly title: string;
  readonly allowed: (asked: Asked) => string;
  /** What is found, and whether that will do; what it throws is found, and will not. */
  readonly look: (asked: Asked) => Promise<Look>;
  /** Leaves something behind, and so runs only when the others have passed. */
  readonly last?: boolean;
}

export interface Look {
  readonly found: string;
  readonly ok: boolean;
}

export interface Row {
  readonly number: number;
  readonly title: string;
  readonly found: string;
  readonly allowed: string;
  readonly state: "ok" | "failed" | "not tried";
}

/** Seconds that an item may take, apart from one that makes a backup. */
const itemSeconds = 20;

/** Looks at every item; there is a row for each, in their order. */
export async function goThrough(
  items: readonly Item[],
  asked: Asked,
  redact: (text: string) => string,
): Promise<Row[]> {
  const look = async (item: Item): Promise<Row> => {
    const { number, title } = item;
    const { found, ok } = await lookSafely(item, asked);
    return {
      number,
      title,
      found: oneLine(redact(found)),
      allowed: oneLine(redact(item.allowed(asked))),
      state: ok ? "ok" : "failed",
    };
  };
  const rows: Row[] = [];
  for (const item of items.filter(({ last }) => !last)) rows.push(await look(item));
  const failed = rows.some(({ state }) => state === "failed");
  for (const item of items.filter(({ last }) => last)) {
    const { number, title } = item;
    const found = "nothing: another item failed";
    rows.push(
      failed ? { number, title, found, allowed: item.allowed(asked), state: "not tried" } : await look(item),
    );
  }
  return rows.sort((one, other) => one.number - other.number);
}

async function lookSafely(item: Item, asked: Asked): Promise<Look> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<Look>((resolve) => {
    const found = `no answer within ${itemSeconds} s`;
    if (!item.last) timer = setTimeout(() => resolve({ found, ok: false }), itemSeconds * 1000);
  });
  try {
    return await Promise.race([item.look(asked), bound]);
  } catch (error) {
    return { found: (error as Error).message, ok: false };
  } finally {
    clearTimeout(timer);
  }
}

/** The one table: item, found, allowed, ok or failed. */
export function tableOf(rows: readonly Row[]): string {
  const cells = [
    ["", "item", "found", "allowed", ""],
    ...rows.map(({ number, title, found, allowed, state }) => [`${number}`, title, found, allowed, state]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Stops an update before anything has changed. */
export class ChecklistError extends Error {
  constructor(system: string, release: string, rows: readonly Row[]) {
    const failed = rows.filter(({ state }) => state === "failed");
    const which = failed.map(({ number, title }) => `${number} ${title}`).join(", ");
    super(
      `${system} ${release} is not deployed, nothing has changed: ${failed.length} of ${rows.length} items of ` +
        `its checklist failed (${which})\n${tableOf(rows)}`,
    );
    this.name = "ChecklistError";
  }
}

/** A cell holds one line, and not a whole log. */
function oneLine(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > 160 ? `${line.slice(0, 159)}…` : line;
}
