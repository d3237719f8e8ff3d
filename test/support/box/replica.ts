import type { Box } from "./box.ts";
import { must } from "./must.ts";
import { until } from "./processes.ts";

const folder = "/var/lib/postgresql/replica";

/** Starts a second PostgreSQL server on a box, which streams from the first; resolves once it does. */
export async function makeReplica(box: Box): Promise<void> {
  const settings = [
    "port = 5499",
    "listen_addresses = ''",
    "hba_file = '/etc/postgresql/15/main/pg_hba.conf'",
    "",
  ].join("\n");
  await must(box, `cd / && sudo -u postgres pg_basebackup -D ${folder} -R -X stream -c fast`);
  await must(box, `cat > ${folder}/postgresql.conf && touch ${folder}/pg_ident.conf`, settings);
  const start = `/usr/lib/postgresql/15/bin/pg_ctl -D ${folder} -w start -l /tmp/replica.log`;
  await must(box, `cd / && sudo -u postgres ${start}`);
  const query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
  const streams = async () => (await must(box, "cd / && sudo -u postgres psql -qtA", query)).trim() === "1";
  await until(streams, 30, "the replica does not stream", 200);
}
