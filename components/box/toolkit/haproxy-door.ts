import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { DoorTotals } from "../../gates/seen.ts";
import { type Slot, slotNote, slots } from "./haproxy-config.ts";
import { askDoor } from "./haproxy-socket.ts";
import type { Backend } from "./host.ts";

/** Moves the traffic of a running door. What it serves is always read from HAProxy itself, never remembered here. */

/** One server slot as HAProxy has it at this moment. */
export interface SlotState {
  readonly slot: Slot;
  /** New requests go there. */
  readonly ready: boolean;
  /** Whose process the slot points at; null where it never served since the door started. */
  readonly backend: Backend | null;
  /** Requests in flight, connections that were upgraded included. */
  readonly inFlight: number;
  /** Seconds since it last became ready, draining or off. */
  readonly changedSecondsAgo: number;
}

export async function doorBackend(socket: string): Promise<Backend | null> {
  return servingSlot(await readSlots(socket))?.backend ?? null;
}

/** Returns once new requests go to the backend (null: are answered 503); requests in flight are left alone. */
export async function pointDoorAt(socket: string, backend: Backend | null): Promise<void> {
  const commands = planSwitch(await readSlots(socket), backend);
  if (commands.length === 0) return;
  const printed = await askDoor(socket, commands);
  const after = await readSlots(socket);
  const ready = after.filter((slot) => slot.ready);
  const right = backend ? ready.length === 1 && isSame(ready[0]?.backend, backend) : ready.length === 0;
  if (!right) {
    const found =
      ready.map((slot) => (slot.backend ? slotNote(slot.backend) : slot.slot)).join(", ") || "nothing";
    const wanted = backend ? slotNote(backend) : "nothing";
    throw new Error(
      `the door on ${socket} serves ${found}, not ${wanted}, after \`${commands.join("; ")}\`:\n${printed}`,
    );
  }
}

/** Waits until no other slot has requests in flight; after `seconds` it cuts what is left there. */
export async function drainDoorOf(socket: string, seconds: number): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const left = (await readSlots(socket)).filter((slot) => !slot.ready && slot.inFlight > 0);
    if (left.length === 0) return;
    if (performance.now() >= deadline) {
      await askDoor(
        socket,
        left.map(({ slot }) => `shutdown sessions server service/${slot}`),
      );
      return;
    }
    await pause(Math.min(50, Math.max(1, deadline - performance.now())));
  }
}

/**
 * The commands that bring a door from its slots' state to the backend: none when it is there. The new slot is made
 * ready before the old one stops taking requests, so that none finds the door empty.
 */
export function planSwitch(states: readonly SlotState[], backend: Backend | null): string[] {
  const known = backend ? states.find((slot) => isSame(slot.backend, backend)) : undefined;
  const next = backend ? (known ?? freeSlot(states)) : undefined;
  const others = states.filter((slot) => slot.ready && slot !== next);
  const leave = others.map(({ slot }) => `set server service/${slot} state drain`);
  if (!backend || !next) return leave;
  if (known) return [...(known.ready ? [] : [`set server service/${known.slot} state ready`]), ...leave];
  return [
    `set server service/${next.slot} state maint`,
    `set server service/${next.slot} addr 127.0.0.1 port ${backend.port}`,
    // Only its own process can say what HAProxy's slot means; the manual calls such variables experimental.
    "experimental-mode on",
    `set var proc.${next.slot} str(${slotNote(backend)})`,
    `set server service/${next.slot} state ready`,
    ...leave,
  ];
}

/** The slot that takes new requests; of two (a switch that was cut in the middle), the one that changed last. */
export function servingSlot(states: readonly SlotState[]): SlotState | undefined {
  const ready = states.filter((slot) => slot.ready);
  return ready.sort((one, other) => one.changedSecondsAgo - other.changedSecondsAgo)[0];
}

/**
 * What the door answered since its HAProxy began, and how much of it was no good answer: a 5xx, whether the release's
 * own or HAProxy's because the release refused, reset or garbled it, and a body that the release broke off.
 */
export async function doorTotalsOf(socket: string): Promise<DoorTotals> {
  return parseTotals(await askDoor(socket, [`show stat door 1 -1`, "show stat service 4 -1"]));
}

/** From the answer to `show stat` of the front end and of the server slots. Throws where the front end is missing. */
export function parseTotals(answer: string): DoorTotals {
  const rows = answer.split("\n\n").flatMap((part) => table(part.split("\n"), "# pxname,", ","));
  const front = rows.find((row) => row.get("svname") === "FRONTEND");
  if (!front) throw new Error(`the door's HAProxy has no front end; it printed:\n${answer}`);
  const count = (row: Map<string, string>, name: string) => Number(row.get(name) ?? 0);
  const answers = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];
  const brokenOff = rows.filter((row) => row !== front).map((row) => count(row, "srv_abrt"));
  return {
    requests: answers.reduce((sum, name) => sum + count(front, name), 0),
    errors: brokenOff.reduce((sum, one) => sum + one, count(front, "hrsp_5xx")),
  };
}

async function readSlots(socket: string): Promise<SlotState[]> {
  const notes = slots.map((slot) => `get var proc.${slot}`);
  return parseSlots(
    await askDoor(socket, ["show servers state service", "show stat service 4 -1", ...notes]),
  );
}

/** From the answer to `show servers state`, `show stat` and one `get var` a slot. Throws when a slot is missing. */
export function parseSlots(answer: string): SlotState[] {
  const lines = answer.split("\n");
  const states = table(lines, "# be_id ", " ");
  const statistics = table(lines, "# pxname,", ",");
  return slots.map((slot) => {
    const state = states.find((row) => row.get("srv_name") === slot);
    const statistic = statistics.find((row) => row.get("svname") === slot);
    if (!state || !statistic)
      throw new Error(`the door's HAProxy has no server slot ${slot}; it printed:\n${answer}`);
    const port = Number(state.get("srv_port"));
    const [, fingerprint, notedPort] =
      new RegExp(`^proc\\.${slot}: .*<(\\w+):(\\d+)>`, "m").exec(answer) ?? [];
    return {
      slot,
      ready: isReady(Number(state.get("srv_op_state")), Number(state.get("srv_admin_state"))),
      backend: fingerprint !== undefined && Number(notedPort) === port ? { fingerprint, port } : null,
      inFlight: Number(statistic.get("scur")),
      changedSecondsAgo: Number(state.get("srv_time_since_last_change")),
    };
  });
}

/** Up, and neither forced into maintenance (1) nor draining (8); 4 only says that the config had it disabled. */
function isReady(operational: number, administrative: number): boolean {
  return operational === 2 && (administrative & (1 | 8)) === 0;
}

function table(lines: readonly string[], start: string, separator: string): Map<string, string>[] {
  const at = lines.findIndex((line) => line.startsWith(start));
  if (at === -1) return [];
  const names = lines[at]?.slice(2).split(separator) ?? [];
  const end = lines.indexOf("", at);
  return lines.slice(at + 1, end === -1 ? undefined : end).map((line) => {
    const cells = line.split(separator);
    return new Map(names.map((name, index) => [name, cells[index] ?? ""]));
  });
}

/** An unused slot, or else the one whose draining is nearest to its end; its requests go on over their connections. */
function freeSlot(states: readonly SlotState[]): SlotState | undefined {
  return states.filter((slot) => !slot.ready).sort((one, other) => one.inFlight - other.inFlight)[0];
}

function isSame(one: Backend | null | undefined, other: Backend): boolean {
  return one?.fingerprint === other.fingerprint && one.port === other.port;
}
