import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createRepository, tags } from "../../examples/service/repository.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "repository-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("holds every release as a tag with a whole tree, and its name in its release.json", async () => {
  const { path, commits } = await createRepository(join(folder, "new/example.git"));
  expect(Object.keys(commits).sort()).toEqual(tags.map(({ tag }) => tag).sort());
  for (const { tag, fault } of tags) {
    expect(git(path, "ls-tree", "-r", "--name-only", tag).split("\n")).toEqual([
      "build.mjs",
      "migrations/001_prices.down.sql",
      "migrations/001_prices.up.sql",
      "migrations/002_price_source.down.sql",
      "migrations/002_price_source.up.sql",
      "package.json",
      "release.json",
      "service.mjs",
    ]);
    expect(JSON.parse(git(path, "show", `${tag}:release.json`))).toEqual({ version: tag, fault });
    expect(git(path, "rev-parse", `${tag}^{commit}`)).toBe(commits[tag]);
  }
  expect(git(path, "rev-parse", "HEAD")).toBe(commits.v10);
  expect(git(path, "log", "--format=%an <%ae> %ct", "-1", "v2")).toBe(
    "Switchyard example <example@switchyard.invalid> 1767229200",
  );
  expect(git(path, "merge-base", "v9", "broken")).toBe(commits.v9);
});

it("is the same wherever and however often it is made", async () => {
  const first = await createRepository(join(folder, "one.git"));
  const size = git(first.path, "count-objects", "-v");
  const again = await createRepository(join(folder, "one.git"));
  const other = await createRepository(join(folder, "two.git"));
  expect(again.commits).toEqual(first.commits);
  expect(other.commits).toEqual(first.commits);
  expect(git(first.path, "count-objects", "-v")).toBe(size);
  expect(readdirSync(folder).sort()).toEqual(["one.git", "two.git"]);
});

it("brings an older content to today's", async () => {
  const { path, commits } = await createRepository(join(folder, "one.git"));
  git(path, "tag", "--force", "v3", "v1");
  git(path, "tag", "--delete", "v4");
  git(path, "update-ref", "refs/heads/main", commits.v1!);
  expect((await createRepository(path)).commits).toEqual(commits);
  expect(git(path, "rev-parse", "main")).toBe(commits.v10);
});

it("says what git said when it cannot be filled, and leaves what was there", async () => {
  const path = join(folder, "damaged.git");
  const { commits } = await createRepository(path);
  const config = readFileSync(join(path, "config"), "utf8");
  writeFileSync(join(path, "config"), "[core]\nrepositoryFormatVersion = 99\nbare = true\n");
  await expect(createRepository(path)).rejects.toThrow(
    /git fast-import into .*damaged\.git failed \(exit 128\): .*99/,
  );
  writeFileSync(join(path, "config"), config);
  expect(git(path, "rev-parse", "v1")).toBe(commits.v1);
});

function git(path: string, ...words: string[]): string {
  return execFileSync("git", ["--git-dir", path, ...words], { encoding: "utf8" }).trim();
}
