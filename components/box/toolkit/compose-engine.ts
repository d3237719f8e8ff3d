import { run } from "./run.ts";

/** What runs compose projects on this machine. */
export interface ComposeEngine {
  readonly name: "docker" | "podman";
  /** Its first words, the program by its absolute path. */
  readonly words: readonly string[];
}

const known = [
  { name: "docker", words: ["docker", "compose"] },
  { name: "docker", words: ["docker-compose"] },
  { name: "podman", words: ["podman-compose"] },
] as const;

/**
 * The first of `docker compose`, `docker-compose` and `podman-compose` that answers here. They are called with what all
 * three understand.
 *
 * @throws where none does, or Docker's daemon does not
 */
export async function findEngine(): Promise<ComposeEngine> {
  for (const { name, words } of known) {
    const [program, ...rest] = words;
    const path = (
      await run(["sh", "-c", 'command -v -- "$1"', "sh", program], { seconds: 10 })
    ).stdout.trim();
    if (path === "") continue;
    const engine = { name, words: [path, ...rest] };
    if ((await run([...engine.words, "version"], { seconds: 20 })).code !== 0) continue;
    if (name === "docker") await requireDaemon();
    return engine;
  }
  throw new Error(
    "this box has no compose engine: neither `docker compose` nor `docker-compose` nor `podman-compose` answers; " +
      "install one (Debian: `apt-get install docker.io docker-compose`) and run the update again",
  );
}

async function requireDaemon(): Promise<void> {
  const { code, stderr } = await run(["docker", "info", "--format", "{{.ServerVersion}}"], { seconds: 20 });
  if (code === 0) return;
  throw new Error(
    `Docker's client is on this box, its daemon does not answer (${stderr.trim().split("\n").at(-1) ?? ""}): ` +
      "`systemctl start docker`",
  );
}
