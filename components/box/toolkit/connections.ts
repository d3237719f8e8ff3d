import type { ReleaseManifest } from "../../rollout/manifest.ts";
import { checkPostgres, type PostgresChecks } from "./database.ts";
import { checkRedis, type RedisChecks } from "./redis.ts";

/** What an environment declares of the database and Redis behind its releases' connections (CHR-9). */
export type DeclaredConnections = Pick<PostgresChecks, "replicas"> & Pick<RedisChecks, "persistence">;

/**
 * Asks the database and Redis that a release depends on (CHR-7, CHR-9); one line each for the gate's report.
 *
 * @throws naming all that is wrong with either
 */
export async function checkConnections(
  checks: ReleaseManifest["checks"],
  secrets: Readonly<Record<string, string>>,
  { replicas, persistence }: DeclaredConnections = {},
): Promise<string[]> {
  const { postgres, redis } = checks;
  const answers = await Promise.allSettled([
    postgres === undefined
      ? null
      : checkPostgres(secrets[postgres] ?? "", { key: postgres, ...(replicas ? { replicas } : {}) }),
    redis === undefined
      ? null
      : checkRedis(secrets[redis] ?? "", { key: redis, ...(persistence ? { persistence } : {}) }),
  ]);
  const wrong = answers.flatMap((answer) =>
    answer.status === "rejected" ? [(answer.reason as Error).message] : [],
  );
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
  return answers.flatMap((answer) =>
    answer.status === "fulfilled" && answer.value ? [answer.value.line] : [],
  );
}
