import { describe, expect, it } from "vitest";
import { formatKey, mendingCommand } from "../../stacks/config/advice.ts";

describe("a key of the config", () => {
  it.each([
    [["live"], "chrono:live"],
    ["edge.path", "chrono:edge.path"],
    [["releases", "v2", "colour"], "chrono:releases.v2.colour"],
    [["releases", "v1.5.0", "colour"], 'chrono:releases["v1.5.0"].colour'],
    [["releases", "1.1"], 'chrono:releases["1.1"]'],
    [["settings", "worker.LOG_LEVEL"], 'chrono:settings["worker.LOG_LEVEL"]'],
    [["edge", "routes", 1], "chrono:edge.routes[1]"],
  ])("%j is written as Pulumi reads it", (path, key) => {
    expect(formatKey("chrono", path)).toBe(key);
  });
});

describe("the command that mends it", () => {
  it("names the stack, asks for a secret, and leaves a value to the reader", () => {
    expect(mendingCommand("staging", "chrono", "databaseUrl", { secret: true })).toBe(
      "pulumi config set --stack staging --secret chrono:databaseUrl",
    );
    expect(mendingCommand("staging", "chrono", "live")).toBe(
      "pulumi config set --stack staging chrono:live <value>",
    );
  });

  it("reaches the key and the value byte for byte through a shell", () => {
    expect(
      mendingCommand("production", "pod", ["releases", "v1.5.0", "images", "api"], { value: "it's $HOME" }),
    ).toBe(
      `pulumi config set --stack production --path 'pod:releases["v1.5.0"].images.api' 'it'\\''s $HOME'`,
    );
  });

  it("takes out what nobody knows", () => {
    expect(mendingCommand("production", "chrono", ["releases", "1.1"], { remove: true })).toBe(
      `pulumi config rm --stack production --path 'chrono:releases["1.1"]'`,
    );
  });

  it("mends another key than the one that is wrong, where it is only a part of it", () => {
    const at = ["services", "worker", "command", 0];
    expect(mendingCommand("staging", "traider", "services.worker.command", { at })).toBe(
      "pulumi config set --stack staging --path 'traider:services.worker.command[0]' <value>",
    );
  });
});
