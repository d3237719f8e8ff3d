import type { ReleaseManifest } from "../../rollout/manifest.ts";
import { checkPostgres } from "./database.ts";
import { checkRedis } from "./redis.ts";

/** Asks the database and Redis that a release depends on (CHR-7); one line each for the gate's report. */
export async function checkConnections(
  checks: ReleaseManifest["checks"],
  secrets: Readonly<Record<string, string>>,
): Promise<string[]> {
  const { postgres, redis } = checks;
  const answers = await Promise.all([
    postgres === undefined ? null : checkPostgres(secrets[postgres] ?? "", { key: postgres }),
    redis === undefined ? null : checkRedis(secrets[redis] ?? "", { key: redis }),
  ]);
  return answers.flatMap((answer) => (answer ? [answer.line] : []));
}
