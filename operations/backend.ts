import { access, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parse } from "yaml";

/** Where a project's state is kept; read from the files Pulumi itself reads, because asking the CLI costs a start. */
export interface Backend {
  readonly project: string;
  /** As Pulumi would take it: `file://…`, `s3://…`, `https://api.pulumi.com`; null when nobody has logged in. */
  readonly url: string | null;
  /** The folder that holds `.pulumi`, for file:// only. */
  readonly folder: string | null;
}

/** Pulumi's own order: PULUMI_BACKEND_URL, `backend.url` of Pulumi.yaml, what `pulumi login` left. */
export async function findBackend(checkout: string, environment: NodeJS.ProcessEnv): Promise<Backend> {
  const project = parse(await readFile(join(checkout, "Pulumi.yaml"), "utf8")) as {
    name: string;
    backend?: { url?: string };
  };
  const home = environment.PULUMI_HOME ?? join(homedir(), ".pulumi");
  const url = environment.PULUMI_BACKEND_URL || project.backend?.url || (await loggedIn(home));
  return { project: project.name, url, folder: folderOf(url, checkout) };
}

/** The stack's name within the project: the last part of a full name. */
export const shortName = (stack: string): string => stack.split("/").at(-1)!;

/** Whether the stack exists; null where only the backend itself could say. */
export async function stackExists(backend: Backend, stack: string): Promise<boolean | null> {
  if (backend.folder === null) return null;
  const base = join(backend.folder, ".pulumi", "stacks", backend.project, shortName(stack));
  const found = await Promise.all(
    [".json", ".json.gz", ".json.zst"].map((end) =>
      access(base + end).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}

async function loggedIn(home: string): Promise<string | null> {
  const text = await readFile(join(home, "credentials.json"), "utf8").catch(() => "{}");
  return (JSON.parse(text) as { current?: string }).current ?? null;
}

function folderOf(url: string | null, checkout: string): string | null {
  if (!url?.startsWith("file://")) return null;
  const path = decodeURIComponent(url.slice("file://".length).split("?")[0]!);
  return path.startsWith("~") ? join(homedir(), path.slice(1)) : resolve(checkout, path);
}
