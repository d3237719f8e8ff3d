import { createConnection } from "node:net";

/** How long a door may take to answer on its admin socket before it counts as hung. */
const answerMilliseconds = 2000;

/** Raised when nothing listens on the admin socket: the door's process does not run. */
export class DoorShutError extends Error {
  constructor(socket: string) {
    super(
      `no front door answers on ${socket}: its HAProxy does not run (\`systemctl status 'switchyard-door@*'\`)`,
    );
    this.name = "DoorShutError";
  }
}

/**
 * Sends commands in one line, which HAProxy carries out one after another before anything else, and returns what it
 * printed. Throws a DoorShutError where nothing listens, and an Error when the whole answer takes more than 2 s.
 */
export function askDoor(
  socket: string,
  commands: readonly string[],
  limitMs = answerMilliseconds,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const connection = createConnection(socket);
    let answer = "";
    const fail = (error: Error) => {
      clearTimeout(timer);
      connection.destroy();
      reject(error);
    };
    const timer = setTimeout(() => {
      fail(new Error(`the front door on ${socket} did not answer \`${commands[0]}\` within ${limitMs} ms`));
    }, limitMs);
    connection.setEncoding("utf8");
    connection.on("connect", () => connection.write(`${commands.join("; ")}\n`));
    connection.on("data", (text) => {
      answer += text;
    });
    connection.on("error", (error: NodeJS.ErrnoException) => {
      const shut = error.code === "ENOENT" || error.code === "ECONNREFUSED";
      fail(shut ? new DoorShutError(socket) : new Error(`the front door on ${socket}: ${error.message}`));
    });
    connection.on("end", () => {
      clearTimeout(timer);
      connection.end();
      resolve(answer);
    });
  });
}
