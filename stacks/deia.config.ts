import { z } from "zod";
import { questions } from "../components/box/toolkit/checklist.ts";
import { debugSettings } from "../components/box/toolkit/checklist-settings.ts";
import { deiaRules } from "../components/gates/tables.ts";
import { alerts, checkAlerts } from "./config/alerts.ts";
import { box, checkBox } from "./config/box.ts";
import { bake, pins, port, releaseName, seconds, settings, source } from "./config/fields.ts";
import { checkPins } from "./config/pins.ts";
import type { SystemContext } from "./config/read.ts";
import { allSettings, checkSettings, serviceSettings } from "./config/settings.ts";

/** Keys of namespace `deia` that are secrets. They are never part of the pins, and always today's. */
export const deiaSecrets = ["databaseUrl", "jwtSecret", "redisUrl", "databaseAdminUrl"] as const;

/** A name of systemd's, without `.service`. */
const unit = z.string().regex(/^[A-Za-z0-9@._-]+$/, "a systemd unit's name without .service");

/** A file that root makes and every service sees: theirs have folders of their own for /tmp and no /home at all. */
const flag = z
  .string()
  .regex(
    /^(?!\/(tmp|var\/tmp|home|root)(\/|$))(?!.*\.\.)\S+[^/]$/,
    "a file's path outside /tmp, /var/tmp, /home and /root",
  );

/** A time as a person writes it in YAML; the engine hands it on as Go prints one: 2026-11-21 09:30:00 +0000 UTC. */
const time = z
  .string()
  .transform((text) => text.replace(/^([\d-]+) ([\d:.]+) ([+-]\d\d)(\d\d) \S+$/, "$1T$2$3:$4"))
  .pipe(z.iso.datetime({ offset: true, error: "an ISO time with its zone: 2026-11-21T09:30:00Z" }));

/** Who answered an item that no machine can look at, when, and where it can be read again (DEI-1). */
const answer = z.strictObject({
  by: z.string().min(1),
  at: time,
  reference: z.string().min(1),
});

export const deiaSchema = z.strictObject({
  ...pins,
  box,
  source,
  build: z.array(z.string().min(1)).optional(),
  settings: settings.default({}),
  controller: z
    .strictObject({ command: z.array(z.string().min(1)).min(1).optional(), port: port.default(8000) })
    .default({ port: 8000 }),
  /** Address of Ollama, which the controller gets as OLLAMA_URL. */
  ollama: z.url("an address: http://localhost:11434").optional(),
  maintenance: z
    .strictObject({
      flag: flag.optional(),
      drainBelow: z.number().int().min(1).max(5).default(5),
      drainSeconds: seconds.default(120),
      journalSeconds: z.number().int().min(0).max(600).optional(),
    })
    .default({ drainBelow: 5, drainSeconds: 120 }),
  checklist: z
    .strictObject({
      units: z
        .strictObject({ postgres: unit.optional(), ollama: unit.optional(), redis: unit.optional() })
        .optional(),
      certificate: z.string().startsWith("/", "the path of a PEM file on the box").optional(),
      certificateDays: z.number().int().min(0).optional(),
      connectionsBelow: z.number().int().min(1).optional(),
      freeGigabytes: z.number().min(0).optional(),
      answerDays: z.number().int().min(1).default(7),
    })
    .default({ answerDays: 7 }),
  answers: z.record(releaseName, z.partialRecord(z.enum(questions), answer)).default({}),
  bake: bake.default({}),
  alerts,
});

export type DeiaConfig = z.infer<typeof deiaSchema> & {
  readonly secrets: Partial<Record<(typeof deiaSecrets)[number], string>>;
};

/** Rules of the environment: nothing of a developer's machine outside development, no limit weaker than the document's. */
export function deiaChecks(config: DeiaConfig, context: SystemContext): void {
  const { environment, problem } = context;
  checkPins(config, problem);
  checkAlerts(config, deiaRules, ["box"], context);
  checkSettings(config, ["controller"], problem);
  checkBox(config.box, context);
  if (environment === "development") return;
  for (const name of ["databaseUrl", "jwtSecret"] as const) {
    if (config.secrets[name]) continue;
    const what = name === "databaseUrl" ? "the connection URL" : "the secret that signs the API's tokens";
    problem(name, "nothing", `${what} of ${environment}`, { secret: true });
  }
  if (config.ollama === undefined)
    problem("ollama", "nothing", "the address of Ollama, http://localhost:11434");
  for (const [key, settings] of allSettings(config)) {
    for (const found of debugSettings(serviceSettings("controller", { settings }, config)))
      problem(key, found, `no debug mode in ${environment}`);
  }
  checkLimits(config, problem);
}

/** DEI-1: fewer than 10 connections, more than 10 GB free, a certificate for more than 30 days; stricter is allowed. */
function checkLimits({ checklist }: DeiaConfig, problem: SystemContext["problem"]): void {
  const { connectionsBelow = 10, freeGigabytes = 10, certificateDays = 30 } = checklist;
  const weaker = (name: string, found: number, allowed: string) => {
    problem(["checklist", name], `${found}`, allowed, { remove: true });
  };
  if (connectionsBelow > 10) weaker("connectionsBelow", connectionsBelow, "10 or fewer");
  if (freeGigabytes < 10) weaker("freeGigabytes", freeGigabytes, "10 or more");
  if (certificateDays < 30) weaker("certificateDays", certificateDays, "30 or more");
}
