// A service for the hosts' own tests, run by a box's Node 18 too: says which release it is, and does what paths say.
import { appendFileSync, readFileSync } from "node:fs";
import { createServer } from "node:http";

const { PORT, RELEASE, STUBBORN, ACTIVATIONS } = process.env;
const held = [];
let ending = false;

// A singleton writes down that it begins, and whether another one that did is still alive.
if (ACTIVATIONS) {
  const earlier = readLines(ACTIVATIONS).map((line) => Number(line.split(" ")[0]));
  appendFileSync(ACTIVATIONS, `${process.pid} ${earlier.some(isAlive) ? "TWICE" : "alone"}\n`);
}

const server = createServer((request, response) => {
  response.setHeader("x-release", RELEASE ?? "none");
  if (ending) response.setHeader("connection", "close");
  if (request.url === "/crash") process.exit(3);
  if (request.url === "/grow") held.push(Buffer.alloc(64 * 2 ** 20, 1));
  if (request.url === "/environment") return response.end(JSON.stringify(process.env));
  const body = [];
  const [, how, wait] = /^\/(wait|begin)\/(\d+)$/.exec(request.url ?? "") ?? [];
  request.on("data", (data) => body.push(data));
  request.on("end", () => {
    const text = request.url === "/echo" ? Buffer.concat(body) : `${RELEASE}\n`;
    // Whoever asked is told that the request has arrived.
    if (how === "begin") response.flushHeaders();
    setTimeout(() => response.end(text), wait ? Number(wait) : 3);
  });
});
server.on("upgrade", (_request, socket) => {
  socket.on("error", () => {});
  socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
  socket.pipe(socket);
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`${RELEASE} listens`));

process.on("SIGTERM", () => {
  if (STUBBORN) return console.log("stays");
  ending = true;
  server.close(() => process.exit(0));
});

function readLines(file) {
  try {
    return readFileSync(file, "utf8").trim().split("\n").filter(Boolean);
  } catch {
    return [];
  }
}

/** One that has ended counts as dead before its parent takes note of it, too. */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = readLines(`/proc/${pid}/stat`)[0] ?? "";
  return !stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
}
