import { describe, expect, it } from "vitest";
import { downloadUrl, indexPath } from "../../components/packages/cargo.ts";

/** Addresses of cargo's registry protocol. The rest, against registries: test/engine/packages.test.ts. */
describe("a sparse index", () => {
  it.each([
    ["a", "1/a"],
    ["ab", "2/ab"],
    ["abc", "3/a/abc"],
    ["Serde_JSON", "se/rd/serde_json"],
  ])("has %s at %s", (crate, path) => expect(indexPath(crate)).toBe(path));
});

describe("an archive's address", () => {
  it.each([
    ["https://x/dl", "https://x/dl/Pod-SDK/1.2.3/download"],
    ["https://x/{crate}/{crate}-{version}.crate", "https://x/Pod-SDK/Pod-SDK-1.2.3.crate"],
    ["https://x/{lowerprefix}/{sha256-checksum}", "https://x/po/d-/cafe"],
    ["https://x/{prefix}/{crate}", "https://x/Po/d-/Pod-SDK"],
  ])("from %s", (dl, url) => expect(downloadUrl(dl, "Pod-SDK", "1.2.3", "cafe")).toBe(url));
});
