import type { z } from "zod";
import type { Policy } from "../../components/box/toolkit/records.ts";
import type { OutsideCheck } from "../../components/gates/outside.ts";
import { type BakePolicy, requestsPerSecond } from "../../components/gates/policy.ts";
import { minimumBakeSeconds, type RuleTable } from "../../components/gates/rules.ts";
import type { EnvironmentName } from "../../components/rollout/environment.ts";
import type { bake } from "./fields.ts";

/** What of a system's config its bakes go by. */
interface BakeConfig {
  readonly bake: z.infer<typeof bake>;
  readonly alerts?: RuleTable | undefined;
}

/**
 * Times and limits of a system's bake in an environment. In production the first bake of a release lasts at least as
 * long as the longest window of its rule table and one check more, whatever the config says. The requests of our own
 * follow from the table and the bake: as many as it takes to tell a bad release on a night without users.
 */
export function bakePolicy(
  environment: EnvironmentName,
  { bake: config, alerts }: BakeConfig,
  {
    rules: documented,
    probes,
    outside = [],
  }: { rules: RuleTable; probes: readonly string[]; outside?: readonly OutsideCheck[] },
): BakePolicy {
  const rules = alerts ?? documented;
  const development = environment === "development";
  const [scrapeSeconds, checkSeconds] = development ? [0.5, 0.5] : [1, 5];
  const least = minimumBakeSeconds(rules, checkSeconds);
  const wanted =
    config.seconds ?? { development: 10, testing: 30, staging: 30, production: least }[environment];
  const bakeSeconds = environment === "production" ? Math.max(wanted, least) : wanted;
  return {
    rules,
    bakeSeconds,
    shortBakeSeconds: Math.min(
      bakeSeconds,
      config.shortSeconds ?? { development: 1, testing: 5, staging: 5, production: 15 }[environment],
    ),
    scrapeSeconds,
    checkSeconds,
    healthSeconds: config.healthSeconds ?? (development ? 10 : 60),
    probes,
    probesPerSecond:
      config.probesPerSecond ??
      Math.min(development ? 30 : mostPerSecond, requestsPerSecond(rules, bakeSeconds)),
    ...(outside.length > 0 ? { outside } : {}),
  };
}

/** Whoever bakes for half a minute gets no more than this many requests a second from us, and is told what they show. */
const mostPerSecond = 50;

/** The same on a box, with what a box needs beside it. */
export function boxPolicy(environment: EnvironmentName, policy: BakePolicy): Policy {
  return { ...policy, keptBuilds: 5, freeMebibytes: environment === "development" ? 100 : 1024 };
}
