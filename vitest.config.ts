import { defineConfig } from "vitest/config";
import LongestFirst from "./test/support/longest-first.ts";

/**
 * Four suites, run one after the other: `unit` uses nothing but this process, `engine` the real Pulumi CLI, `box` real
 * Debian boxes, `cluster` a real Kubernetes node. A fifth, `long`, is run by `npm run test:long` alone.
 * Of `engine` and `box`, two files run at a time: they wait for bakes and boots, and with three a machine of two cores is
 * late for what a test gives seconds.
 * The bounds of tests and hooks are for what hangs: a slow machine, or one that builds an engine first, is none.
 */
export default defineConfig({
  test: {
    teardownTimeout: 30_000,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          maxWorkers: 2,
          testTimeout: 90_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "engine",
          include: ["test/engine/**/*.test.ts"],
          maxWorkers: 2,
          testTimeout: 900_000,
          hookTimeout: 1_800_000,
          globalSetup: ["test/support/engine/global-setup.ts"],
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "box",
          include: ["test/box/**/*.test.ts"],
          maxWorkers: 2,
          testTimeout: 600_000,
          hookTimeout: 1_800_000,
          globalSetup: ["test/support/box/global-setup.ts"],
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "cluster",
          include: ["test/cluster/**/*.test.ts"],
          maxWorkers: 1,
          testTimeout: 600_000,
          hookTimeout: 1_800_000,
          globalSetup: ["test/support/cluster/global-setup.ts"],
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: "long",
          include: ["test/long/**/*.test.ts"],
          maxWorkers: 1,
          testTimeout: 1_200_000,
          hookTimeout: 1_800_000,
          globalSetup: ["test/support/engine/global-setup.ts", "test/support/box/global-setup.ts"],
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
