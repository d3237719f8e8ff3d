import { mkdir, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import type { Backend, Door, Unit } from "../toolkit/host.ts";
import { requireOwnFolder } from "./places.ts";
import type { Supervisor } from "./supervisor.ts";

/**
 * How the toolkit speaks with the supervisor: POST /<operation> with the arguments as a JSON array over the unix
 * socket, answered by {"value": …} or {"error": "…"}.
 */

/** Header of the calls that `switchyard-box boot` makes, which are answered before everything is settled. */
export const bootHeader = "x-switchyard-boot";

const operations = {
  installUnit: ({ units }: Supervisor, unit: Unit) => units.install(unit),
  startUnit: ({ units }: Supervisor, name: string) => units.start(name),
  stopUnit: ({ units }: Supervisor, name: string) => units.stop(name),
  unitState: ({ units }: Supervisor, name: string) => units.state(name),
  stopSeconds: ({ units }: Supervisor, name?: string) => units.stopSeconds(name),
  removeUnit: ({ units }: Supervisor, name: string) => units.remove(name),
  journal: ({ units }: Supervisor, name: string, lines: number) => units.journal(name, lines),
  openDoor: ({ doors }: Supervisor, door: Door) => doors.open(door),
  closeDoor: ({ doors }: Supervisor, door: Door) => doors.close(door),
  doorServes: ({ doors }: Supervisor, door: Door) => doors.serves(door),
  doorTotals: ({ doors }: Supervisor, door: Door) => doors.totals(door),
  pointDoor: ({ doors }: Supervisor, door: Door, backend: Backend | null) => doors.point(door, backend),
  drainDoor: ({ doors }: Supervisor, door: Door, seconds: number) => doors.drain(door, seconds),
  rememberDoor: ({ doors }: Supervisor, door: Door, backend: Backend | null) => doors.remember(door, backend),
  doors: ({ doors }: Supervisor) => doors.list(),
  launch: (supervisor: Supervisor, name: string, argv: string[], environment: Record<string, string>) =>
    supervisor.launch(name, argv, environment),
  launched: (supervisor: Supervisor, name: string) => supervisor.launched(name),
  bootId: (supervisor: Supervisor) => supervisor.bootId,
  status: (supervisor: Supervisor) => supervisor.status(),
  stop: (supervisor: Supervisor) => supervisor.stop(),
};
export type Operation = keyof typeof operations;

const alwaysAnswered: readonly string[] = ["status", "stop", "stopSeconds"] satisfies Operation[];

/** Listens; `onStop` is called once everything has ended and the caller was told. */
export async function listenForControl(
  socket: string,
  supervisor: Supervisor,
  onStop: () => void,
): Promise<Server> {
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  requireOwnFolder(socket);
  // Only the one supervisor of this folder comes here: what lies there is a dead one's.
  await rm(socket, { force: true });
  const server = createServer((request, response) => {
    const operation = (request.url ?? "").slice(1);
    const fromBoot = request.headers[bootHeader] === supervisor.bootToken;
    const answer = async () => {
      const values = JSON.parse(await text(request)) as unknown[];
      if (!fromBoot && !alwaysAnswered.includes(operation)) await supervisor.settled;
      if (!Object.hasOwn(operations, operation)) throw new Error(`the supervisor knows no "${operation}"`);
      const perform = operations[operation as Operation] as (...values: unknown[]) => unknown;
      return perform(supervisor, ...values);
    };
    answer().then(
      (value) => {
        if (operation === "stop") response.once("close", onStop);
        response.end(JSON.stringify({ value: value ?? null }));
      },
      (error: Error) => response.end(JSON.stringify({ error: error.message })),
    );
  });
  // A door that drains and a unit that stops take as long as they were given.
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socket, resolve);
  });
  return server;
}
