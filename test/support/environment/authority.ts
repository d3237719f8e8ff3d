import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** A certificate authority of the test's own, which the programs of the test are told to trust. */
export class Authority {
  /** Path of its certificate. */
  readonly file: string;
  private readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    this.file = join(folder, "authority.pem");
    const words = ["req", "-x509", "-subj", "/CN=the test's authority", "-days", "90", "-nodes"];
    openssl([...words, ...curve, "-keyout", this.at("authority.key"), "-out", this.file]);
  }

  /** A certificate for these names, as PEM texts. */
  certify(names: readonly string[]): Certificate {
    writeFileSync(this.at("names.ext"), `subjectAltName=${names.map((name) => `DNS:${name}`).join(",")}\n`);
    const request = ["req", "-new", "-subj", "/CN=test", "-nodes", ...curve];
    openssl([...request, "-keyout", this.at("server.key"), "-out", this.at("server.csr")]);
    const signer = ["-CA", this.file, "-CAkey", this.at("authority.key"), "-CAcreateserial", "-days", "60"];
    const made = [
      "-in",
      this.at("server.csr"),
      "-extfile",
      this.at("names.ext"),
      "-out",
      this.at("server.pem"),
    ];
    openssl(["x509", "-req", ...signer, ...made]);
    const read = (name: string) => readFileSync(this.at(name), "utf8");
    return { key: read("server.key"), cert: read("server.pem") };
  }

  private at(name: string): string {
    return join(this.folder, name);
  }
}

const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

function openssl(words: readonly string[]): void {
  execFileSync("openssl", words, { stdio: ["ignore", "ignore", "pipe"] });
}
