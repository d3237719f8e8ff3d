import { X509Certificate } from "node:crypto";
import { access, readFile, statfs } from "node:fs/promises";
import { basename, join } from "node:path";
import { ask } from "../../gates/ask.ts";
import { backupDatabase, backupFile, keepBackups, verifyBackup } from "./backup.ts";
import { buildDirectory } from "./builds.ts";
import type { Answer, Asked, Item, Look, Question } from "./checklist.ts";
import { debugSettings } from "./checklist-settings.ts";
import { checkPostgres, readPostgresUrl } from "./database.ts";
import { unsupported } from "./migration-plan.ts";
import { migrationStatus } from "./migrations.ts";
import { findRelease, readCutover } from "./records.ts";
import { checkRedis } from "./redis.ts";
import { keepInVault } from "./verbs/vault.ts";

/** The 15 items of the deployment document (seeds: 004-deia), in its words and its order. */
export const items: readonly Item[] = [
  {
    number: 1,
    title: "PostgreSQL running",
    allowed: ({ checklist }) => `answers${unitWanted(checklist.units.postgres)}`,
    look: async (asked) => {
      const { url, key } = databaseOf(asked);
      if (url === undefined) return missing(asked, "database");
      const { version, milliseconds } = await checkPostgres(url, { key });
      return withUnit(asked, asked.checklist.units.postgres, `${version} in ${milliseconds} ms`);
    },
  },
  {
    number: 2,
    title: "Ollama service running",
    allowed: ({ checklist }) => `/api/tags lists a model${unitWanted(checklist.units.ollama)}`,
    look: async (asked) => {
      const { ollama, units } = asked.checklist;
      if (ollama === undefined) return missing(asked, "Ollama");
      const answer = await ask(`${ollama.replace(/\/$/, "")}/api/tags`, { seconds: 10 });
      if (!answer.ok) return { found: answer.status ? `${answer.status}` : answer.detail, ok: false };
      const { models = [] } = JSON.parse(answer.text) as { models?: readonly { name: string }[] };
      if (models.length === 0) return { found: "no model", ok: false };
      const names = models.slice(0, 3).map(({ name }) => name);
      return withUnit(asked, units.ollama, names.join(", "));
    },
  },
  {
    number: 3,
    title: "Redis service running (optional)",
    allowed: ({ checklist }) => `answers where it is used${unitWanted(checklist.units.redis)}`,
    look: async (asked) => {
      const key = asked.delivery.manifest.checks.redis;
      if (key === undefined) return { found: "not used", ok: true };
      const { version, milliseconds } = await checkRedis(asked.delivery.secrets[key] ?? "", { key });
      return withUnit(asked, asked.checklist.units.redis, `${version} in ${milliseconds} ms`);
    },
  },
  {
    number: 4,
    title: "Current state backed up",
    allowed: () => "a whole dump of the database, and the serving release's build",
    look: async (asked) => {
      const code = await buildOfServing(asked);
      if (!code.ok) return code;
      const dump = await dumpOf(asked);
      return { found: `${dump.found}; ${code.found}`, ok: dump.ok };
    },
    last: true,
  },
  {
    number: 5,
    title: "Database connection pool healthy",
    allowed: ({ checklist }) => `fewer than ${checklist.connectionsBelow} connections`,
    look: async (asked) => {
      const { url, key } = databaseOf(asked);
      if (url === undefined) return missing(asked, "database");
      const { ofDatabase } = (await checkPostgres(url, { key })).connections;
      return { found: `${ofDatabase} connections`, ok: ofDatabase < asked.checklist.connectionsBelow };
    },
  },
  {
    number: 6,
    title: "Disk space adequate",
    allowed: ({ checklist }) => `more than ${checklist.freeGigabytes} GiB free`,
    look: async ({ host, checklist }) => {
      const free = Math.min(...(await Promise.all(["/", host.releasesDirectory].map(freeGibibytes))));
      return { found: `${free.toFixed(1)} GiB free`, ok: free > checklist.freeGigabytes };
    },
  },
  human(7, "All 4 monitoring dashboards load", "dashboards"),
  human(8, "All tests passed", "tests"),
  {
    number: 9,
    title: "Configuration reviewed",
    allowed: () => "no debug mode, whole addresses",
    look: async (asked) => {
      const settings = settingsOf(asked);
      const wrong = Object.entries(settings).filter(
        ([name, text]) => /_URL$/.test(name) && !URL.canParse(text),
      );
      const { url, key } = databaseOf(asked);
      if (url !== undefined) readPostgresUrl(url, key);
      const debug = debugSettings(settings);
      const found = [...debug, ...wrong.map(([name, value]) => `${name}=${value}`)].join(", ");
      if (found === "") return { found: `${Object.keys(settings).length} settings`, ok: true };
      return wrong.length === 0 ? absent(asked, found) : { found, ok: false };
    },
  },
  {
    number: 10,
    title: "Database migrations known",
    allowed: () => "none pending, or those that the release brings",
    look: lookAtMigrations,
  },
  {
    number: 11,
    title: "TLS certificate valid",
    allowed: ({ checklist }) => `for more than ${checklist.certificateDays} days`,
    look: async (asked) => {
      const { certificate, certificateDays } = asked.checklist;
      if (certificate === undefined) return missing(asked, "certificate");
      const { validTo } = new X509Certificate(await readFile(certificate));
      const days = (Date.parse(validTo) - Date.now()) / 86_400_000;
      return { found: `${Math.floor(days)} days, ${certificate}`, ok: days > certificateDays };
    },
  },
  {
    number: 12,
    title: "Secrets configured",
    allowed: ({ checklist }) => `a value for ${checklist.variables.join(", ")}`,
    look: async (asked) => {
      const values = { ...settingsOf(asked), ...asked.delivery.secrets };
      const empty = asked.checklist.variables.filter((name) => !values[name]);
      if (empty.length === 0) return { found: "all are set", ok: true };
      return absent(asked, `no value for ${empty.join(", ")}`);
    },
  },
  human(13, "Team notified, lead acknowledged", "notified"),
  human(14, "Change ticket created (or not required)", "ticket"),
  human(15, "Production owner approved", "approval"),
];

/** An item that somebody answers for a release, in the config. */
function human(number: number, title: string, question: Question): Item {
  return {
    number,
    title,
    allowed: ({ checklist, delivery: { manifest } }) =>
      `${manifest.system}:answers.${manifest.release}.${question}, at most ${checklist.answerDays} days old`,
    look: async (asked) => {
      const answer = asked.checklist.answers[asked.delivery.manifest.release]?.[question];
      if (!answer) return absent(asked, "nobody has answered");
      const days = (Date.now() - Date.parse(answer.at)) / 86_400_000;
      return { found: answerText(answer), ok: days > -0.01 && days <= asked.checklist.answerDays };
    },
  };
}

function answerText({ by, at, reference }: Answer): string {
  return `${by}, ${at}: ${reference}`;
}

async function dumpOf(asked: Asked): Promise<Look> {
  const { url, key } = databaseOf(asked);
  if (url === undefined) return missing(asked, "database");
  const { host, delivery } = asked;
  const { system, release } = delivery.manifest;
  const folder = join(host.stateDirectory, "backups", system);
  const backup = await backupDatabase(url, backupFile(folder, new Date()), { key });
  await verifyBackup(backup);
  await keepBackups(folder, 10);
  const vault = await keepInVault(host, system, backup, { reason: "checklist", release });
  const what = `${Object.keys(backup.tables).length} tables, ${backup.bytes} bytes`;
  return { found: `${backup.id}: ${what}${vault ? `, in the vault as ${vault.id}` : ""}`, ok: true };
}

/** The code that serves stays on the box as the build it was; there is nothing to copy. */
async function buildOfServing({ host, delivery }: Asked): Promise<Look> {
  const { system } = delivery.manifest;
  const { confirmed } = await readCutover(host, system);
  const serving = confirmed === null ? null : await findRelease(host, system, confirmed);
  if (!serving) return { found: "no release serves yet", ok: true };
  const folder = buildDirectory(host, serving.manifest);
  const there = await access(folder).then(
    () => true,
    () => false,
  );
  const { release } = serving.manifest;
  const found = there
    ? `${release} is kept in ${basename(folder)}`
    : `the build of ${release} (${folder}) is gone`;
  return { found, ok: there };
}

async function lookAtMigrations(asked: Asked): Promise<Look> {
  const { manifest, secrets } = asked.delivery;
  const { schema, system, release } = manifest;
  if (!schema) return { found: `${release} has no migrations`, ok: true };
  const url = secrets[schema.url] ?? "";
  const target = { url, key: schema.url, system, release, fingerprint: "" };
  const { number, applied, dirty } = await migrationStatus(target);
  if (dirty) return { found: `migration ${dirty.number} ${dirty.name} is half-applied`, ok: false };
  const pending = schema.change === "none" ? 0 : Math.max(0, schema.provides - number);
  const reasons = pending > 0 ? [] : unsupported(schema, applied);
  if (reasons.length > 0) return { found: reasons.join("; "), ok: false };
  const brings =
    pending > 0 ? `${release} brings up to ${schema.provides} (${schema.change})` : "none pending";
  return { found: `schema ${number}; ${brings}`, ok: true };
}

function databaseOf({ delivery }: Asked): { url: string | undefined; key: string } {
  const key = delivery.manifest.checks.postgres;
  return { url: key === undefined ? undefined : (delivery.secrets[key] ?? ""), key: key ?? "" };
}

function settingsOf({ delivery }: Asked): Record<string, string> {
  return Object.assign({}, ...delivery.manifest.services.map(({ environment }) => environment));
}

function unitWanted(unit: string | undefined): string {
  return unit === undefined ? "" : `, ${unit}.service runs`;
}

async function withUnit({ host }: Asked, unit: string | undefined, found: string): Promise<Look> {
  if (unit === undefined) return { found, ok: true };
  const { active } = await host.unitState(unit);
  return { found: `${found}; ${unit}.service is ${active}`, ok: active === "running" };
}

async function freeGibibytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return (bavail * bsize) / 2 ** 30;
}

function missing(asked: Asked, what: string): Look {
  return absent(asked, `no ${what} is configured`);
}

/** Development goes without; the row says so. */
function absent(asked: Asked, found: string): Look {
  return isDevelopment(asked) ? { found: `${found} (development)`, ok: true } : { found, ok: false };
}

function isDevelopment({ delivery }: Asked): boolean {
  return delivery.manifest.environment === "development";
}
