import { run } from "./run.ts";

/** The process that listens on a TCP port of this machine. */
export interface PortOwner {
  readonly process: string;
  readonly pid: number;
}

/** Who listens on the port; null where nobody does, or the system does not say. */
export async function portOwner(port: number): Promise<PortOwner | null> {
  return process.platform === "linux" ? ownerBySs(port) : ownerByLsof(port);
}

export function portTakenError(doorName: string, port: number, owner: PortOwner | null): Error {
  const who = owner ? `${owner.process} (pid ${owner.pid})` : "another program";
  return new Error(
    `port ${port} of the door ${doorName} belongs to ${who}: end that program, or choose another port in the ` +
      "system's config; nothing was changed",
  );
}

async function ownerBySs(port: number): Promise<PortOwner | null> {
  const { stdout } = await run(["ss", "-H", "-l", "-t", "-n", "-p", `sport = :${port}`], { seconds: 5 });
  return parseSs(stdout);
}

/** From a line like `LISTEN 0 511 127.0.0.1:8080 0.0.0.0:* users:(("node",pid=42,fd=18))`. */
export function parseSs(printed: string): PortOwner | null {
  if (printed.trim() === "") return null;
  const [, process, pid] = /users:\(\("([^"]*)",pid=(\d+)/.exec(printed) ?? [];
  return process === undefined
    ? { process: "a process of another user", pid: 0 }
    : { process, pid: Number(pid) };
}

async function ownerByLsof(port: number): Promise<PortOwner | null> {
  const { stdout } = await run(["lsof", "-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-Fpc"], { seconds: 10 });
  const [, pid, process] = /^p(\d+)\n(?:.*\n)*?c(.*)$/m.exec(stdout) ?? [];
  return process === undefined ? null : { process, pid: Number(pid) };
}
