import { readFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:https";
import { pipeline } from "node:stream";
import { sign } from "../../../components/box/toolkit/vault-signature.ts";

/**
 * Runs on a test's box in the place of AWS' S3: answers for `<bucket>.s3.<region>.amazonaws.com` by asking the S3 server
 * beside the box. It takes any writer's key for right: the identities of the recorded world exist nowhere. What a writer
 * may do is shown in test/box/vault.test.ts.
 */
interface Settings {
  readonly key: string;
  readonly cert: string;
  readonly upstream: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

const settings = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Settings;
const passedOn = ["content-length", "content-md5", "content-type", "range", "if-none-match"];

createServer({ key: settings.key, cert: settings.cert }, (asked, answer) => {
  const [bucket = ""] = (asked.headers.host ?? "").split(".");
  const url = new URL(`/${bucket}${asked.url}`, settings.upstream);
  const given = Object.entries(asked.headers).filter(([name]) => passedOn.includes(name));
  const headers = Object.fromEntries(given) as Record<string, string>;
  const method = asked.method ?? "GET";
  const sent = request(
    url,
    { method, headers: sign({ method, url, headers }, settings, new Date()) },
    (said) => {
      answer.writeHead(said.statusCode ?? 502, said.headers);
      pipeline(said, answer, () => {});
    },
  );
  sent.once("error", () => answer.destroy());
  pipeline(asked, sent, () => {});
}).listen(443, "127.0.0.1");
