import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";

/**
 * Loaded before the baker's own program (NODE_OPTIONS=--import), so that it finds what it would find in a pod: its
 * account's files, the API server behind the address of its environment, a file for its last message, a port of its own.
 */
const { SWITCHYARD_TEST_TOKEN: token = "", SWITCHYARD_TEST_LAST_WORDS: lastWords = "" } = process.env;
const account = "/var/run/secrets/kubernetes.io/serviceaccount/";

const { readFileSync, writeFileSync } = fs;
fs.readFileSync = ((path: fs.PathOrFileDescriptor, ...rest: [never]) => {
  if (path === `${account}token`) return token;
  if (path === `${account}ca.crt`) return "";
  return readFileSync(path, ...rest);
}) as typeof fs.readFileSync;
fs.writeFileSync = (path, ...rest) =>
  writeFileSync(path === "/dev/termination-log" ? lastWords : path, ...rest);

https.request = ((
  url: URL,
  options: https.RequestOptions,
  answered: (answer: http.IncomingMessage) => void,
) => {
  const { agent: _, ca: __, ...plain } = options;
  return http.request(new URL(url.href.replace(/^https:/, "http:")), plain, answered);
}) as typeof https.request;

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (this: net.Server, ...words: unknown[]) {
  return Reflect.apply(listen, this, words[0] === 9099 ? [0, "127.0.0.1"] : words);
} as typeof net.Server.prototype.listen;

syncBuiltinESMExports();
