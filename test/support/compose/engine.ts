import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { parse } from "yaml";
import { type Call, daemonSocket, type Order, type Reply } from "./orders.ts";

/**
 * A STAND-IN for `docker` with its compose plugin, for a machine where no container engine can run. It takes the words
 * that the toolkit uses and no others, checks the compose file, and has its daemon (daemon.ts) run the image's program
 * as a process. What it does not do: isolate anything. A container listens in a network of its own; here the program
 * is told the published port instead.
 */

interface ComposeService {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment: readonly string[];
  readonly ports: readonly string[];
  readonly init: boolean;
  readonly restart: string;
  readonly stop_grace_period: string;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly extra_hosts: readonly string[];
  readonly logging: object;
  readonly mem_limit?: string;
}

const serviceKeys = [
  ...["image", "command", "environment", "ports", "init", "restart", "stop_grace_period", "cap_drop"],
  ...["security_opt", "extra_hosts", "logging", "mem_limit"],
];

function fail(text: string): never {
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

const words = process.argv.slice(2);
/** Who calls, for the daemon's journal: a client in its unit's sandbox can write nowhere. */
const caller = { words, user: process.getuid?.() ?? -1, groups: process.getgroups?.() ?? [] };

if (words[0] === "info") order({ what: "info" });
else if (words[0] !== "compose") fail(`docker: '${words[0]}' is not a docker command.`);
else if (words.length === 2 && words[1] === "version")
  process.stdout.write("Docker Compose version v2.stand-in\n");
else compose(words.slice(1));

function compose([p, project = "", f, file = "", verb = "", ...rest]: string[]): void {
  if (p !== "-p" || f !== "-f" || !/^[a-z0-9][a-z0-9_-]*$/.test(project))
    fail(`unknown words: ${words.join(" ")}`);
  const services = readServices(file);
  switch (verb) {
    case "pull": {
      if (rest.length > 0) fail(`pull ${rest.join(" ")}: unexpected words`);
      return void order({ what: "pull", images: Object.values(services).map(({ image }) => image) });
    }
    case "up": {
      const [name = ""] = rest.slice(3);
      const flags = ["--no-build", "--no-color", "--abort-on-container-exit"];
      if (rest.length !== 4 || rest.slice(0, 3).join() !== flags.join())
        fail(`up ${rest.join(" ")}: unexpected words`);
      const stop: Order = { what: "stop", project, service: name, seconds: seconds(pick(services, name)) };
      // As the real client does: the first signal stops the containers, and the client goes after them.
      for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => order(stop, 130));
      return void order({ what: "up", project, service: name, ...program(pick(services, name)) });
    }
    case "run": {
      const [rm, deps, tty, name = "", ...command] = rest;
      if ([rm, deps, tty].join() !== "--rm,--no-deps,-T") fail(`run ${rest.join(" ")}: unexpected words`);
      return void order({ what: "run", ...program(pick(services, name)), command });
    }
    case "stop": {
      const [timeout, limit, name = ""] = rest;
      if (timeout !== "--timeout" || rest.length !== 3) fail(`stop ${rest.join(" ")}: unexpected words`);
      return void order({ what: "stop", project, service: name, seconds: Number(limit) });
    }
    case "down": {
      if (rest[0] !== "--timeout" || rest.length !== 2) fail(`down ${rest.join(" ")}: unexpected words`);
      return void order({ what: "down", project, seconds: Number(rest[1]) });
    }
  }
  fail(`unknown docker command: compose ${verb}`);
}

/** The file as the engine would take it; anything that the toolkit is not known to write is refused. */
function readServices(file: string): Record<string, ComposeService> {
  if ((statSync(file).mode & 0o022) !== 0) fail(`${file} can be written by others than its owner`);
  const { services, ...more } = parse(readFileSync(file, "utf8")) as {
    services: Record<string, ComposeService>;
  };
  if (Object.keys(more).length > 0) fail(`${file}: unexpected ${Object.keys(more).join()}`);
  for (const [name, service] of Object.entries(services)) {
    const strange = Object.keys(service).filter((key) => !serviceKeys.includes(key));
    if (strange.length > 0) fail(`${file}: services.${name}: unexpected ${strange.join()}`);
    if (!/^[^@\s]+@sha256:[0-9a-f]{64}$/.test(service.image))
      fail(`${service.image}: expected an image by digest`);
    if (service.restart !== "no") fail(`restart ${service.restart}: systemd restarts it, and nobody else`);
    if (service.cap_drop.join() !== "ALL") fail("cap_drop: expected ALL");
    if (service.security_opt.join() !== "no-new-privileges:true")
      fail("security_opt: expected no-new-privileges");
  }
  return services;
}

function pick(services: Record<string, ComposeService>, name: string): ComposeService {
  return services[name] ?? fail(`no such service: ${name}`);
}

function seconds({ stop_grace_period }: ComposeService): number {
  return Number(/^(\d+)s$/.exec(stop_grace_period)?.[1]);
}

/** What the daemon is to start: the container's environment is what the file names, and nothing else of ours. */
function program({ image, command, environment, ports }: ComposeService) {
  const [, address, host, container] = /^([\d.]+):(\d+):(\d+)$/.exec(ports[0] ?? "") ?? [];
  if (ports.length !== 1 || address !== "127.0.0.1")
    fail(`ports ${ports.join()}: expected one, on 127.0.0.1`);
  const env: Record<string, string> = {};
  for (const entry of environment) {
    const at = entry.indexOf("=");
    const value = at < 0 ? process.env[entry] : entry.slice(at + 1).replaceAll("$$", "$");
    if (value !== undefined) env[at < 0 ? entry : entry.slice(0, at)] = value;
  }
  if (env.HOST !== "0.0.0.0" || env.PORT !== container)
    fail(`HOST ${env.HOST}, PORT ${env.PORT}: not the container's`);
  return { image, command: command ?? [], env: { ...env, HOST: "127.0.0.1", PORT: host ?? "" } };
}

function order(given: Order, code?: number): void {
  const socket = connect(daemonSocket);
  socket.on("error", (error) =>
    fail(
      `Cannot connect to the Docker daemon at ${daemonSocket}. Is the docker daemon running? (${error.message})`,
    ),
  );
  socket.write(`${JSON.stringify({ caller, order: given } satisfies Call)}\n`);
  createInterface({ input: socket }).on("line", (line) => {
    const reply = JSON.parse(line) as Reply;
    if ("out" in reply) process.stdout.write(reply.out);
    else if ("err" in reply) process.stderr.write(reply.err);
    else process.exit(code ?? reply.exit);
  });
}
