import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { createRepository } from "../../../examples/service/repository.ts";
import { type Box, startBox } from "../box/box.ts";
import { must } from "../box/must.ts";
import { until } from "../box/processes.ts";
import { S3Server } from "../s3/server.ts";
import type { Authority } from "./authority.ts";

/** Where the example's releases lie on every machine. */
export const repository = "/srv/example.git";
export const databasePassword = "pA$s-Kp20'w\"x";

/** A box of an environment, ready before the program ever sees it: a deploying user, a database, S3 by AWS' name. */
export interface EnvironmentMachine {
  readonly box: Box;
  readonly databaseUrl: string;
  stop(): Promise<void>;
}

export interface MachineArgs {
  readonly system: string;
  readonly bucket: string;
  readonly authority: Authority;
  /** Public line of the key that the user `deploy` logs in with. */
  readonly publicKey: string;
  readonly diskMiB: number;
}

export async function startMachine({
  system,
  bucket,
  authority,
  publicKey,
  diskMiB,
}: MachineArgs): Promise<EnvironmentMachine> {
  const box = await startBox({ base: "full", diskMiB });
  let s3: S3Server | null = null;
  const stop = async () => {
    await box.stop();
    await s3?.stop();
  };
  try {
    const bash = (script: string, stdin?: string | Buffer) => must(box, script, stdin);
    await bash(
      [
        "useradd --create-home --shell /bin/sh deploy && install -d -m 700 -o deploy -g deploy ~deploy/.ssh",
        "cat > ~deploy/.ssh/authorized_keys && chown deploy: ~deploy/.ssh/authorized_keys",
        "echo 'deploy ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deploy && chmod 440 /etc/sudoers.d/deploy",
      ].join(" && "),
      `${publicKey}\n`,
    );
    const role = databasePassword.replaceAll("'", "''");
    await bash(
      "cd / && sudo -u postgres psql -q -v ON_ERROR_STOP=1",
      `CREATE ROLE ${system} LOGIN CREATEDB PASSWORD '${role}'; CREATE DATABASE ${system} OWNER ${system};`,
    );
    await bash("tar -C /srv -xf - --no-same-owner", await repositoryArchive());
    s3 = await S3Server.start(`${box.clientAddress}:9000`, box.enter);
    await s3.makeBucket(bucket, 1);
    await serveAws(box, s3, bucket, authority);
    const databaseUrl = `postgresql://${system}:${encodeURIComponent(databasePassword)}@127.0.0.1:5432/${system}`;
    return { box, databaseUrl, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Leads the name that AWS has for the bucket to `aws-on-box.ts`, with a certificate that the box trusts. */
async function serveAws(box: Box, s3: S3Server, bucket: string, authority: Authority): Promise<void> {
  const name = `${bucket}.s3.${s3.region}.amazonaws.com`;
  const settings = {
    ...authority.certify([name]),
    ...s3.rootKey,
    ...{ upstream: s3.endpoint, region: s3.region },
  };
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, "aws-on-box.ts")],
    ...{ bundle: true, platform: "node", target: "node18", format: "cjs", write: false, logLevel: "silent" },
  });
  const put = (path: string, content: string) => must(box, `umask 077; cat > ${path}`, content);
  await put("/root/aws.cjs", outputFiles[0]?.text ?? "");
  await put("/root/aws.json", JSON.stringify(settings));
  await must(box, "cat > /etc/ssl/certs/test-authority.pem", execFileSync("cat", [authority.file]));
  await must(
    box,
    [
      `echo '127.0.0.1 ${name}' >> /etc/hosts`,
      "systemd-run --quiet --unit=aws -- node /root/aws.cjs /root/aws.json",
      // Whoever comes over SSH trusts the test's authority; a unit of the program would be told otherwise.
      "echo 'SetEnv NODE_EXTRA_CA_CERTS=/etc/ssl/certs/test-authority.pem' > /etc/ssh/sshd_config.d/test.conf",
      "echo 'Defaults env_keep += NODE_EXTRA_CA_CERTS' > /etc/sudoers.d/test",
      "systemctl reload ssh",
    ].join(" && "),
  );
  // While sshd starts anew it refuses connections for a moment.
  await until(async () => (await box.ssh("true")).code === 0, 20, "sshd does not come back", 200);
}

async function repositoryArchive(): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), "switchyard-environment-"));
  try {
    await createRepository(join(folder, "example.git"));
    return execFileSync("tar", ["-C", folder, "-cf", "-", "example.git"], { maxBuffer: 1 << 28 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
