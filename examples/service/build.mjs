import { copyFileSync, mkdirSync, readFileSync } from "node:fs";

// The example's build: what a compiler would do, without one.
const { version, fault } = JSON.parse(readFileSync("release.json", "utf8"));
if (fault === "unbuildable") {
  console.error(`build of ${version} failed: its release.json says "unbuildable"`);
  process.exit(1);
}
mkdirSync("dist", { recursive: true });
for (const file of ["service.mjs", "release.json"]) copyFileSync(file, `dist/${file}`);
console.log(`built ${version} into dist/`);
