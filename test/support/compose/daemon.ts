import { type ChildProcess, spawn } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  type Call,
  callsFile,
  daemonSocket,
  imagesFolder,
  type Order,
  type Program,
  type Reply,
} from "./orders.ts";

/**
 * The daemon of the stand-in engine: it owns the "containers", so they outlive a client that is killed, as Docker's do.
 * Only members of the group `docker` reach it.
 */

interface Container {
  readonly child: ChildProcess;
  readonly ended: Promise<number>;
  running: boolean;
}

const containers = new Map<string, Container>();

const server = createServer((socket) => {
  socket.on("error", () => {});
  const lines = createInterface({ input: socket });
  // It passes the socket's errors on: a client that is gone while its container still prints ends nothing here.
  lines.on("error", () => {});
  lines.once("line", (line) => {
    const { caller, order } = JSON.parse(line) as Call;
    if (order.what !== "list") appendFileSync(callsFile, `${JSON.stringify(caller)}\n`);
    carryOut(order, socket).then(
      (code) => say(socket, { exit: code }),
      (error: Error) => {
        say(socket, { err: `${error.message}\n` });
        say(socket, { exit: 1 });
      },
    );
  });
});

function say(socket: Socket, reply: Reply): void {
  if (socket.writable) socket.write(`${JSON.stringify(reply)}\n`);
}

async function carryOut(order: Order, socket: Socket): Promise<number> {
  switch (order.what) {
    case "info":
      say(socket, { out: "stand-in\n" });
      return 0;
    case "list": {
      const lines = [...containers].map(
        ([name, { running }]) => `${name} ${running ? "running" : "exited"}\n`,
      );
      say(socket, { out: lines.sort().join("") });
      return 0;
    }
    case "pull":
      for (const image of order.images) {
        if (!existsSync(join(folderOf(image), "image.json")))
          throw new Error(`manifest for ${image} not found`);
        // On the disk: images outlive the daemon and a reboot.
        writeFileSync(join(folderOf(image), "pulled"), "");
      }
      return 0;
    case "up": {
      const name = `${order.project}-${order.service}-1`;
      const known = containers.get(name);
      const container = known?.running ? known : start(order);
      containers.set(name, container);
      for (const stream of [container.child.stdout, container.child.stderr])
        stream?.on("data", (text: Buffer) => say(socket, { out: text.toString() }));
      return container.ended;
    }
    case "run": {
      const { child, ended } = start(order);
      child.stdout?.on("data", (text: Buffer) => say(socket, { out: text.toString() }));
      child.stderr?.on("data", (text: Buffer) => say(socket, { err: text.toString() }));
      return ended;
    }
    case "stop":
      await stop(`${order.project}-${order.service}-1`, order.seconds);
      return 0;
    case "down":
      for (const name of [...containers.keys()].filter((one) => one.startsWith(`${order.project}-`))) {
        await stop(name, order.seconds);
        containers.delete(name);
      }
      return 0;
  }
}

function start({ image, command, env }: Program): Container {
  if (!existsSync(join(folderOf(image), "pulled"))) throw new Error(`No such image: ${image}`);
  const folder = folderOf(image);
  const { cmd } = JSON.parse(readFileSync(join(folder, "image.json"), "utf8")) as { cmd: string[] };
  const [program = "", ...words] = command.length > 0 ? command : cmd;
  const path = `${folder}/bin:/usr/local/bin:/usr/bin:/bin`;
  const child = spawn(program, words, {
    cwd: folder,
    env: { ...env, PATH: path },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<number>((resolve) => {
    child.once("error", () => resolve(127));
    child.once("close", (code) => resolve(code ?? 137));
  });
  const container = { child, ended, running: true };
  void ended.then(() => {
    container.running = false;
  });
  return container;
}

async function stop(name: string, seconds: number): Promise<void> {
  const container = containers.get(name);
  if (!container?.running) return;
  container.child.kill("SIGTERM");
  const timer = setTimeout(() => container.child.kill("SIGKILL"), seconds * 1000);
  await container.ended;
  clearTimeout(timer);
}

const folderOf = (image: string) => join(imagesFolder, image.slice(image.indexOf("@sha256:") + 8));

rmSync(daemonSocket, { force: true });
server.listen(daemonSocket, () => {
  const line = readFileSync("/etc/group", "utf8")
    .split("\n")
    .find((group) => group.startsWith("docker:"));
  chownSync(daemonSocket, 0, Number(line?.split(":")[2] ?? 0));
  chmodSync(daemonSocket, 0o660);
});
