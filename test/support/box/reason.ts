import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Programs of the machine itself that the box is brought up with, and the Debian package each comes from. */
const programs: Readonly<Record<string, string>> = {
  "apt-get": "apt",
  "dpkg-deb": "dpkg",
  flock: "util-linux",
  ip: "iproute2",
  nsenter: "util-linux",
  ssh: "openssh-client",
  "ssh-agent": "openssh-client",
  "ssh-keygen": "openssh-client",
  unshare: "util-linux",
  wget: "wget",
};

/** Why no box can be brought up on this machine, in words for a skipped test's title; null when one can. */
export function reasonNoBox(): string | null {
  if (process.platform !== "linux") return `needs Debian, this is ${process.platform}`;
  if (!isDebian()) return "needs Debian, which this machine is not";
  if (process.getuid?.() !== 0) return "needs root";
  for (const [program, packageName] of Object.entries(programs)) {
    if (!isOnPath(program)) return `needs ${program}: apt-get install ${packageName}`;
  }
  const tried = spawnSync("unshare", [
    "--mount",
    "--propagation",
    "private",
    "--net",
    "--pid",
    "--fork",
    "true",
  ]);
  if (tried.status !== 0) {
    return `may not make namespaces: ${tried.stderr.toString().trim() || "unshare was refused"}`;
  }
  return null;
}

function isDebian(): boolean {
  try {
    return /^ID="?debian"?$/m.test(readFileSync("/etc/os-release", "utf8"));
  } catch {
    return false;
  }
}

function isOnPath(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, program)));
}
