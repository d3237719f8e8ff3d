import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Files that take minutes begin before those that take seconds: otherwise the last one runs alone at the end. */
const longest = [
  ...["box/chrono-kills", "box/chrono-release", "box/chrono-versions", "box/vault"],
  ...["engine/legs", "engine/edge", "engine/traider-production", "engine/command-plugin", "engine/systems"],
  ...["engine/traider-testing", "engine/sanctum-staging", "engine/command-plugin-remote", "unit/local-host"],
];

export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const others = await super.sort(files);
    const rank = ({ moduleId }: TestSpecification) => {
      const index = longest.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return index < 0 ? longest.length : index;
    };
    return others.toSorted((one, other) => rank(one) - rank(other));
  }
}
