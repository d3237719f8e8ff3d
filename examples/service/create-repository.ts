import { createRepository } from "./repository.ts";

/** `node create-repository.ts [path]`: the git repository that development deploys from. */
const [path = ".switchyard/example.git"] = process.argv.slice(2);
const { commits } = await createRepository(path);
process.stdout.write(`${JSON.stringify({ repository: path, tags: Object.keys(commits) })}\n`);
