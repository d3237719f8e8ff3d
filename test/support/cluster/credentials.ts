import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check } from "../box/run.ts";
import { apiPort, apiServiceAddress, nodeAddress, nodeName } from "./addresses.ts";

/** Who may ask the API server, by which token. */
export interface Tokens {
  /** May do everything. */
  readonly admin: string;
  readonly kubelet: string;
  readonly proxy: string;
  readonly scheduler: string;
}

/** The name of the only context in the kubeconfig that tests are given. */
export const contextName = "switchyard";

/**
 * Makes the API server's certificate (its own authority, valid where pods, node and tests reach it), the key that
 * signs the tokens of ServiceAccounts, and the tokens of the cluster's parts: api.crt, api.key, accounts.key,
 * tokens.csv.
 */
export async function makeCredentials(folder: string): Promise<Tokens> {
  const names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
  const addresses = ["127.0.0.1", nodeAddress, apiServiceAddress];
  const alternatives = [...names.map((name) => `DNS:${name}`), ...addresses.map((one) => `IP:${one}`)];
  await check([
    ..."openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30".split(" "),
    ...["-subj", "/CN=kubernetes", "-addext", `subjectAltName=${alternatives.join(",")}`],
    ...["-keyout", join(folder, "api.key"), "-out", join(folder, "api.crt")],
  ]);
  const { privateKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "sec1", format: "pem" },
  });
  writeFileSync(join(folder, "accounts.key"), privateKey, { mode: 0o600 });
  const token = () => randomBytes(20).toString("hex");
  const tokens = { admin: token(), kubelet: token(), proxy: token(), scheduler: token() };
  const lines = [
    [tokens.admin, "admin", "system:masters"],
    [tokens.kubelet, `system:node:${nodeName}`, "system:nodes"],
    [tokens.proxy, "system:kube-proxy", ""],
    [tokens.scheduler, "system:kube-scheduler", ""],
  ].map(([secret, user, group]) => `${secret},${user},${user},"${group}"\n`);
  writeFileSync(join(folder, "tokens.csv"), lines.join(""), { mode: 0o600 });
  return tokens;
}

/** Writes a kubeconfig. JSON is YAML, too. */
export function writeKubeconfig(
  folder: string,
  name: string,
  token: string,
  server = `https://127.0.0.1:${apiPort}`,
) {
  const certificate = readFileSync(join(folder, "api.crt")).toString("base64");
  const file = join(folder, name);
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: contextName, cluster: { server, "certificate-authority-data": certificate } }],
    users: [{ name: contextName, user: { token } }],
    contexts: [{ name: contextName, context: { cluster: contextName, user: contextName } }],
    "current-context": contextName,
  };
  writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  return file;
}
