import { z } from "zod";
import { shellCommand } from "../../components/box/quote.ts";
import { port } from "./fields.ts";
import type { SystemContext } from "./read.ts";

/** Where a system's box is: this machine (development only) or one over SSH with its host key pinned. */
export const box = z.union([
  z.literal("local"),
  z.strictObject({
    host: z.string().min(1),
    port: port.default(22),
    user: z.string().min(1).default("root"),
    hostKey: z
      .string()
      .regex(/^(ssh|ecdsa)-\S+ \S+/, "a public host key: ssh-ed25519 AAAA…")
      .optional(),
  }),
]);

export type BoxConfig = z.infer<typeof box>;

/** Outside development a box is one over SSH, and known by its key. */
export function checkBox(where: BoxConfig, { environment, problem }: SystemContext): void {
  if (environment === "development") return;
  if (where === "local") {
    problem("box", '"local"', "a box over SSH with host, user and hostKey outside development");
  } else if (!where.hostKey) {
    const scan = shellCommand("ssh-keyscan", "-t", "ed25519", "-p", String(where.port), where.host);
    const allowed = `the pinned host key of ${where.host}, compared with the box itself`;
    problem("box.hostKey", "nothing", allowed, { value: { shell: `"$(${scan} | cut -d' ' -f2-)"` } });
  }
}
