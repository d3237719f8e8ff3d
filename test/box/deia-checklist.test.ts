import { afterAll, beforeAll, expect, test } from "vitest";
import type { Checklist, Question } from "../../components/box/toolkit/checklist.ts";
import type { Policy } from "../../components/box/toolkit/records.ts";
import type { ReleaseManifest } from "../../components/rollout/manifest.ts";
import type { Box } from "../support/box/box.ts";
import { must } from "../support/box/must.ts";
import { describeOnBox } from "../support/box/suite.ts";
import {
  answersOf,
  DeiaVerbs,
  databasePassword,
  makeCertificate,
  secrets,
  startDeiaBox,
} from "../support/deia.ts";

interface Failing {
  readonly item: number;
  /** Items that cannot be looked at without the one that fails. */
  readonly also?: readonly number[];
  readonly found: RegExp;
  readonly change?: (box: Box) => Promise<unknown>;
  readonly mend?: (box: Box) => Promise<unknown>;
  readonly policy?: (checklist: Checklist) => Checklist;
  readonly manifest?: (manifest: ReleaseManifest) => ReleaseManifest;
  readonly secrets?: Partial<Record<string, string>>;
}

/** DEI-1 on a real box, by the very verb that an update runs first; Ollama is a stand-in that answers /api/tags. */
describeOnBox("DEIA's checklist, each item made to fail once", () => {
  let box: Box;
  let deia: DeiaVerbs;
  let untouched: string;

  beforeAll(async () => {
    box = await startDeiaBox();
    deia = await DeiaVerbs.start(box, ["v1", "v2"]);
    const first = await deia.place(deia.manifest("v1"));
    const { code, stderr } = await deia.cutover("v1", first);
    expect(code, stderr).toBe(0);
  });
  afterAll(() => box?.stop());

  test("with all in order the table has fifteen rows, all ok, and a backup was made", async () => {
    const before = await backups();
    const manifest = deia.manifest("v2", "production");
    const { code, stderr } = await deia.preflight(manifest);
    expect(code, stderr).toBe(0);
    const table = await must(
      box,
      "cat $(ls -t /var/lib/switchyard/systems/deia/evidence/*-v2-checklist.txt | head -1)",
    );
    console.log(table);
    const rows = rowsOf(table);
    expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 15 }, (_, index) => index + 1));
    expect(rows.filter(({ state }) => state !== "ok")).toEqual([]);
    expect(rows[0]?.text).toMatch(/PostgreSQL 15\.\d+ in .* ms; postgresql\.service is running/);
    expect(rows[1]?.text).toContain("llama3:8b; ollama.service is running");
    expect(rows[3]?.text).toMatch(/tables, \d+ bytes; v1 is kept in deia-[0-9a-f]{12}/);
    expect(rows[14]?.text).toMatch(/Ada, .*: mail of today/);
    expect((await backups()).length).toBe(before.length + 1);
    await deia.must(["remove", "deia", "v2", await identityOf("v2")], {});
    untouched = await everything();
  });

  const unanswered = (question: Question) => (checklist: Checklist) => ({
    ...checklist,
    answers: { v2: { ...checklist.answers.v2, [question]: undefined } } as Checklist["answers"],
  });
  const cases: Failing[] = [
    {
      item: 1,
      also: [5],
      found: /cannot connect to PostgreSQL/,
      change: (it) => must(it, "systemctl stop postgresql"),
      mend: (it) => must(it, "systemctl start postgresql"),
    },
    {
      item: 2,
      found: /ECONNREFUSED/,
      change: (it) => must(it, "systemctl stop ollama"),
      mend: (it) => must(it, "systemctl start ollama && until curl -s 127.0.0.1:11434; do sleep 0.1; done"),
    },
    {
      item: 3,
      found: /Could not connect to Redis|Connection refused/,
      change: (it) => must(it, "systemctl stop redis-server"),
      mend: (it) => must(it, "systemctl start redis-server"),
    },
    {
      item: 4,
      found: /pg_dump failed: .*permission denied/,
      change: (it) => must(it, "cd / && sudo -u postgres psql -q deia -c 'CREATE TABLE hidden (id int)'"),
      mend: (it) => must(it, "cd / && sudo -u postgres psql -q deia -c 'DROP TABLE hidden'"),
    },
    {
      item: 5,
      found: /1\d connections/,
      change: async (it) => {
        const sleeper = `PGPASSWORD=${databasePassword} psql -h 127.0.0.1 -U deia deia -c 'SELECT pg_sleep(600)'`;
        await must(it, `for n in 1 2 3 4 5 6 7 8 9 10; do ${sleeper} >/dev/null 2>&1 </dev/null & done`);
        const counted = "SELECT count(*) FROM pg_stat_activity WHERE usename = ''deia''".replaceAll(
          "''",
          "'",
        );
        await must(
          it,
          `cd /; until [ "$(sudo -u postgres psql -Atc "${counted}")" -ge 10 ]; do sleep 0.1; done`,
        );
      },
      mend: (it) =>
        must(
          it,
          `cd / && sudo -u postgres psql -qAtc "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND usename = 'deia'"`,
        ),
    },
    {
      item: 6,
      found: /2\.[34] GiB free/,
      change: (it) => must(it, "fallocate -l 600M /srv/filler"),
      mend: (it) => must(it, "rm /srv/filler"),
    },
    { item: 7, found: /nobody has answered/, policy: unanswered("dashboards") },
    { item: 8, found: /nobody has answered/, policy: unanswered("tests") },
    {
      item: 9,
      found: /LOG_LEVEL=debug/,
      manifest: (manifest) => ({
        ...manifest,
        services: manifest.services.map((service) => ({
          ...service,
          environment: { ...service.environment, LOG_LEVEL: "debug" },
        })),
      }),
    },
    {
      item: 10,
      found: /schema/,
      manifest: (manifest) => ({
        ...manifest,
        schema: { folder: "migrations", url: "DATABASE_URL", provides: 2, needs: 2, change: "none" },
      }),
    },
    {
      item: 11,
      found: /(9|10) days/,
      change: (it) => makeCertificate(it, 10),
      mend: (it) => makeCertificate(it, 90),
    },
    { item: 12, found: /no value for JWT_SECRET/, secrets: { JWT_SECRET: "" } },
    { item: 13, found: /nobody has answered/, policy: unanswered("notified") },
    { item: 14, found: /nobody has answered/, policy: unanswered("ticket") },
    {
      item: 15,
      found: /Ada, .*mail of today/,
      policy: (checklist) => {
        const tenDaysAgo = answersOf(new Date(Date.now() - 10 * 86_400_000).toISOString());
        return { ...checklist, answers: { v2: { ...answersOf(), approval: tenDaysAgo.approval } } };
      },
    },
  ];

  test.each(
    cases,
  )("item $item: the update stops, the table names it, nothing has changed", async (failing) => {
    const {
      item,
      also = [],
      found,
      change,
      mend,
      policy,
      manifest = (same: ReleaseManifest) => same,
    } = failing;
    await change?.(box);
    if (policy) await deia.setPolicy((all) => withChecklist(all, policy));
    try {
      const { code, stderr } = await deia.preflight(
        manifest(deia.manifest("v2", "production")),
        failing.secrets,
      );
      expect(code).toBe(1);
      expect(stderr).toContain("deia v2 is not deployed, nothing has changed");
      const rows = rowsOf(stderr);
      expect(rows).toHaveLength(15);
      const failed = rows.filter(({ state }) => state === "failed");
      expect(failed.map(({ number }) => number)).toEqual([item, ...also]);
      expect(failed[0]?.text).toMatch(found);
      expect(rows[3]?.state).toBe(item === 4 ? "failed" : "not tried");
      for (const secret of [databasePassword, secrets.jwtSecret]) expect(stderr).not.toContain(secret);
    } finally {
      await mend?.(box);
      if (policy) await deia.setPolicy();
    }
    expect(await everything()).toBe(untouched);
  });

  function withChecklist(all: Policy, edit: (checklist: Checklist) => Checklist): Policy {
    if (!all.checklist) throw new Error("DEIA's policy has no checklist");
    return { ...all, checklist: edit(all.checklist) };
  }

  async function identityOf(release: string): Promise<string> {
    const { known } = await deia.observe();
    return known.find((one) => one.release === release)?.fingerprint ?? "";
  }

  async function backups(): Promise<string[]> {
    return (await must(box, "ls /var/lib/switchyard/backups/deia/*.dump")).trim().split("\n");
  }

  /** Every file that placing a release, or backing up, could have made or changed; and every unit. */
  function everything(): Promise<string> {
    const files = "find /var/lib/switchyard /srv/switchyard /etc/switchyard /etc/systemd/system -type f";
    const untold = "! -path '*/evidence/*' ! -name '*.log*' ! -path '*/policy.json' ! -path '*/locks/*'";
    return must(
      box,
      `${files} ${untold} -printf '%p %s %T@\\n' | sort; systemctl list-units --plain 'deia-*'`,
    );
  }
});

interface Row {
  readonly number: number;
  readonly state: string;
  readonly text: string;
}

function rowsOf(output: string): Row[] {
  return output.split("\n").flatMap((line) => {
    const [, number, state] = /^\s*(\d+)\s{2,}.*\s{2,}(ok|failed|not tried)$/.exec(line) ?? [];
    return number && state ? [{ number: Number(number), state, text: line }] : [];
  });
}
