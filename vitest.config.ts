import { defineConfig } from "vitest/config";

/**
 * Four suites, run one after the other: `unit` uses nothing but this process, `engine` the real Pulumi CLI, `box` real
 * Debian boxes, `cluster` a real Kubernetes node. Of `engine` and `box`, three files run at a time: they mostly wait, for
 * bakes and for boots.
 */
export default defineConfig({
  test: {
    teardownTimeout: 30_000,
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          testTimeout: 20_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: "engine",
          include: ["test/engine/**/*.test.ts"],
          maxWorkers: 3,
          testTimeout: 180_000,
          hookTimeout: 600_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "box",
          include: ["test/box/**/*.test.ts"],
          maxWorkers: 3,
          testTimeout: 300_000,
          hookTimeout: 300_000,
          globalSetup: ["test/support/box/global-setup.ts"],
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "cluster",
          include: ["test/cluster/**/*.test.ts"],
          maxWorkers: 1,
          testTimeout: 300_000,
          hookTimeout: 600_000,
          globalSetup: ["test/support/cluster/global-setup.ts"],
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
