import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A git repository that holds packages as POD's does; each commit is tagged. */
export class PackagesRepository {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    this.git("init", "--quiet", "--initial-branch=main");
  }

  /** Commits the packages at a version and tags it. @returns the commit */
  release(tag: string, { version, text }: { version: string; text: string }): string {
    const manifest = (name: string) =>
      JSON.stringify({ name, version, license: "UNLICENSED", files: ["dist"], type: "module" }, null, 2);
    const build = `import { mkdirSync, writeFileSync } from "node:fs";
mkdirSync("dist", { recursive: true });
writeFileSync("dist/index.js", ${JSON.stringify(`export default ${JSON.stringify(text)};\n`)});
writeFileSync("dist/environment.json", JSON.stringify(Object.keys(process.env).sort()));
`;
    this.write("packages/sdk-typescript/sdk/package.json", manifest("@pod-trial/sdk"));
    this.write("packages/sdk-typescript/sdk/build.mjs", build);
    this.write("packages/cli/package.json", manifest("@pod-trial/cli"));
    this.write("packages/cli/build.mjs", build);
    this.write(
      "packages/sdk-rust/sdk-rust/Cargo.toml",
      `[package]\nname = "pod-trial-sdk"\nversion = "${version}"\nedition = "2021"\nlicense = "MIT"\ndescription = "trial"\n`,
    );
    this.write(
      "packages/sdk-rust/sdk-rust/src/lib.rs",
      `pub fn text() -> &'static str {\n    ${JSON.stringify(text)}\n}\n`,
    );
    this.git("add", "--all");
    this.git("commit", "--quiet", "--allow-empty", "-m", tag);
    this.git("tag", tag);
    return this.git("rev-parse", "HEAD").trim();
  }

  private write(path: string, text: string): void {
    const full = join(this.folder, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
  }

  private git(...words: string[]): string {
    const identity = ["-c", "user.name=trial", "-c", "user.email=trial@switchyard.invalid"];
    const env = { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" };
    return execFileSync("git", [...identity, ...words], { cwd: this.folder, encoding: "utf8", env });
  }
}
