import type { z } from "zod";
import type { Source } from "../../components/rollout/manifest.ts";
import type { ReleaseEntry, source } from "./fields.ts";

/** Where a version's files come from; `{version}` in the configured address or tag stands for the version. */
export function sourceOf(config: z.infer<typeof source>, version: string, entry: ReleaseEntry): Source {
  const filled = (text: string) => text.replaceAll("{version}", version);
  if ("git" in config) {
    const { git, tag } = config;
    return {
      kind: "git",
      url: git,
      tag: filled(tag),
      ...(entry.commit === undefined ? {} : { commit: entry.commit }),
    };
  }
  return { kind: "artifact", url: filled(config.artifact), sha256: entry.sha256 ?? "" };
}
