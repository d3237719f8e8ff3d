import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { sha256, sign } from "../../../components/box/toolkit/vault-signature.ts";
import { writerPolicy } from "../../../components/vault/policies.ts";
import { until } from "../box/processes.ts";
import { s3Program } from "./build.ts";

export interface Key {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface Ask {
  readonly method: string;
  /** @example "/backups/chrono/2026-11/config" */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

const region = "eu-central-1";
const account = "000000000000";

/** A real S3 server with users and their policies, on an address of its own and on a socket for the test itself. */
export class S3Server {
  readonly region = region;
  readonly endpoint: string;
  /** Folder of the objects as they are kept: `<bucket>/<key>`. */
  readonly objects: string;
  private readonly folder: string;
  /** Who may do everything. */
  readonly rootKey: Key;
  private readonly processes: ChildProcess[] = [];

  private constructor(folder: string, address: string) {
    this.folder = folder;
    this.endpoint = `http://${address}`;
    this.objects = join(folder, "objects");
    this.rootKey = { accessKeyId: "root", secretAccessKey: randomBytes(20).toString("hex") };
    for (const name of ["objects", "versions", "users"]) mkdirSync(join(folder, name));
  }

  /** @param enter words that run a program where the address is; none: here */
  static async start(address: string, enter: readonly string[] = []): Promise<S3Server> {
    const program = await s3Program();
    const server = new S3Server(mkdtempSync(join(tmpdir(), "switchyard-s3-")), address);
    try {
      const users = ["iam", "--dir", server.at("users"), "--private-ports", server.at("private.sock")];
      await server.run([program, "--port", server.at("iam.sock"), ...users], "private.sock");
      const ports = ["--port", address, "--port", server.at("s3.sock")];
      const who = ["--iam-cache-disable", "--iam-standalone-endpoint", server.at("private.sock")];
      const kept = ["posix", "--versioning-dir", server.at("versions"), server.objects];
      await server.run([...enter, program, ...ports, ...who, ...kept], "s3.sock");
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** Makes a bucket as the program's own is: versions are kept, and each is locked for the days. */
  async makeBucket(bucket: string, lockDays: number): Promise<void> {
    const headers = { "x-amz-bucket-object-lock-enabled": "true" };
    must(await this.ask({ method: "PUT", path: `/${bucket}/`, headers }));
    const rule = `<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>${lockDays}</Days></DefaultRetention></Rule>`;
    const body = `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>${rule}</ObjectLockConfiguration>`;
    must(await this.ask({ method: "PUT", path: `/${bucket}/?object-lock=`, body }));
  }

  /** Makes the system's writer: a user with exactly the policy that the program gives it on AWS. */
  async makeWriter(bucket: string, system: string): Promise<Key> {
    const user = `vault-${system}`;
    const keyArn = `arn:aws:kms:${region}:${account}:key/00000000-0000-0000-0000-000000000000`;
    const policy = writerPolicy({ bucketArn: `arn:aws:s3:::${bucket}`, keyArn, system });
    await this.iam({ Action: "CreateUser", UserName: user });
    const document = { PolicyName: "vault", PolicyDocument: JSON.stringify(policy) };
    await this.iam({ Action: "PutUserPolicy", UserName: user, ...document });
    const made = await this.iam({ Action: "CreateAccessKey", UserName: user });
    const read = (name: string) => new RegExp(`<${name}>([^<]+)`).exec(made)?.[1] ?? "";
    return { accessKeyId: read("AccessKeyId"), secretAccessKey: read("SecretAccessKey") };
  }

  /** @param key default: the server's root, who may do everything */
  ask({ method, path, headers = {}, body = "" }: Ask, key: Key = this.rootKey): Promise<Answer> {
    const length = { "content-length": String(Buffer.byteLength(body)) };
    const md5 = { "content-md5": createHash("md5").update(body).digest("base64") };
    const url = new URL(path, "http://s3.test");
    const all = { ...headers, ...(method === "PUT" ? { ...length, ...md5 } : {}) };
    return send(
      this.at("s3.sock"),
      method,
      url,
      sign({ method, url, headers: all }, { ...key, region }, new Date()),
      body,
    );
  }

  async stop(): Promise<void> {
    for (const child of this.processes) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once("close", resolve));
      child.kill("SIGKILL");
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async iam(parameters: Readonly<Record<string, string>>): Promise<string> {
    const body = new URLSearchParams({ Version: "2010-05-08", ...parameters }).toString();
    const url = new URL("http://iam.test/");
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const key = { ...this.rootKey, region: "us-east-1", service: "iam" };
    const signed = sign({ method: "POST", url, headers }, key, new Date(), sha256(body));
    return must(await send(this.at("iam.sock"), "POST", url, signed, body)).body;
  }

  private at(name: string): string {
    return join(this.folder, name);
  }

  private async run([program = "", ...words]: readonly string[], socket: string): Promise<void> {
    const { accessKeyId, secretAccessKey } = this.rootKey;
    const env = {
      ...process.env,
      ROOT_ACCESS_KEY_ID: accessKeyId,
      ROOT_SECRET_ACCESS_KEY: secretAccessKey,
      VGW_REGION: region,
    };
    // A test that is killed leaves no server behind.
    const child = spawn("setpriv", ["--pdeathsig", "KILL", program, ...words], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (piece: string) => {
        said = (said + piece).slice(-4000);
      });
    }
    this.processes.push(child);
    const ended = () => child.exitCode !== null;
    await until(() => existsSync(this.at(socket)) || ended(), 20, `versitygw does not start: ${said}`);
    if (ended()) throw new Error(`versitygw ended at once: ${said}`);
  }
}

function must(answer: Answer): Answer {
  if (answer.status < 300) return answer;
  throw new Error(`the S3 server answered ${answer.status}: ${answer.body}`);
}

function send(
  socketPath: string,
  method: string,
  url: URL,
  headers: Record<string, string>,
  body: string | Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { socketPath, method, path: `${url.pathname}${url.search}`, headers },
      (response) => {
        text(response).then((said) => resolve({ status: response.statusCode ?? 0, body: said }), reject);
      },
    );
    sent.once("error", reject);
    sent.end(body);
  });
}
