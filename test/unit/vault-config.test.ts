import { expect, it } from "vitest";
import type { EnvironmentName } from "../../components/rollout/environment.ts";
import type { KeyPath } from "../../stacks/config/advice.ts";
import {
  type VaultConfig,
  vaultChecks,
  vaultPlace,
  vaultSchema,
  vaultSystems,
} from "../../stacks/config/vault.ts";

/** The vault's part of an environment's config (CHR-11): what is allowed where, and what each error says. */

type Secrets = VaultConfig["secrets"];

function problems(
  environment: EnvironmentName,
  given: object,
  secrets: Secrets = {},
  systems: readonly string[] = vaultSystems,
): string[] {
  const found: string[] = [];
  const config = { ...vaultSchema.parse(given), secrets };
  const problem = (key: KeyPath, what: string) => void found.push(`${[key].flat().join(".")}: ${what}`);
  vaultChecks(config, { environment, problem }, systems);
  return found;
}

const whole = {
  bucket: "switchyard-backups",
  region: "eu-central-1",
  configuration: { git: "https://git/x.git" },
};

it("asks for nothing in development, and for everything elsewhere", () => {
  expect(problems("development", {})).toEqual([]);
  expect(vaultPlace({ ...vaultSchema.parse(undefined), secrets: {} })).toBeNull();
  expect(problems("production", {})).toEqual(["bucket: nothing", "configuration.git: nothing"]);
  expect(problems("production", whole)).toEqual(["password: nothing"]);
  expect(problems("production", whole, { password: "x" })).toEqual([]);
});

it("asks for no repository of boxes' configuration where there is no box", () => {
  const { configuration: _, ...rest } = whole;
  expect(problems("production", rest, { password: "x" }, ["traider", "sanctum"])).toEqual([]);
  expect(problems("production", rest, { password: "x" }, ["traider", "deia"])).toEqual([
    "configuration.git: nothing",
  ]);
  expect(problems("production", {}, {}, ["traider"])).toEqual(["bucket: nothing"]);
});

it("keeps no backup on the box that it is of", () => {
  const folder = { folder: ".switchyard/vault" };
  expect(problems("development", folder, { password: "x" })).toEqual([]);
  expect(problems("staging", { ...whole, ...folder }, { password: "x" })).toEqual([
    'folder: ".switchyard/vault"',
  ]);
  expect(problems("development", { ...whole, ...folder }, { password: "x" })).toEqual([
    'folder: ".switchyard/vault"',
  ]);
});

it("needs the keys of an S3 server that is not AWS, and TLS to it", () => {
  const other = { ...whole, endpoint: "http://10.0.0.9:7070" };
  expect(problems("staging", other, { password: "x" })).toEqual([
    "endpoint: http://10.0.0.9:7070",
    "accessKeyId: nothing",
    "secretAccessKey: nothing",
  ]);
  expect(problems("development", other, { password: "x", accessKeyId: "a", secretAccessKey: "b" })).toEqual(
    [],
  );
  expect(problems("development", { bucket: "backups" }, { password: "x" })).toEqual(["region: nothing"]);
});

it("pins the git server that a key is shown to", () => {
  const ssh = { ...whole, configuration: { git: "git@git.example:ops/boxes.git" } };
  const secrets = { password: "x", configurationKey: "-----BEGIN" };
  expect(problems("production", ssh, secrets)).toEqual(["configuration.knownHosts: nothing"]);
  const pinned = {
    ...ssh,
    configuration: { ...ssh.configuration, knownHosts: "git.example ssh-ed25519 AAAA" },
  };
  expect(problems("production", pinned, secrets)).toEqual([]);
});

it("has a retention, and refuses what S3 would", () => {
  expect(vaultSchema.parse(whole)).toMatchObject({
    retention: { days: 90, mode: "GOVERNANCE" },
    logDays: 30,
    configuration: { branch: "main" },
  });
  for (const wrong of [
    { bucket: "a.b" },
    { bucket: "A" },
    { region: "Frankfurt" },
    { retention: { days: 0 } },
    { x: 1 },
  ]) {
    expect(vaultSchema.safeParse({ ...whole, ...wrong }).success, JSON.stringify(wrong)).toBe(false);
  }
});
