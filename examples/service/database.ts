import { Client } from "pg";

export interface DatabaseHealth {
  readonly status: "healthy" | "unhealthy" | "not configured";
  readonly milliseconds: number;
}

/** One round trip to the database over a connection of its own, at most two seconds. */
export async function askDatabase(url: string | null): Promise<DatabaseHealth> {
  if (url === null) return { status: "not configured", milliseconds: 0 };
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2000, query_timeout: 2000 });
  client.on("error", () => {});
  try {
    await client.connect();
    const before = performance.now();
    await client.query("SELECT 1");
    return { status: "healthy", milliseconds: Math.round((performance.now() - before) * 10) / 10 };
  } catch {
    return { status: "unhealthy", milliseconds: 0 };
  } finally {
    await client.end().catch(() => {});
  }
}
