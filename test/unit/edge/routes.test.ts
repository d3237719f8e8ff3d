import fc from "fast-check";
import { matchRoutes, parseRoutes } from "miniflare";
import { describe, expect, test } from "vitest";
import { leadsTo, leadsToHost, readPattern } from "../../../components/edge/routes.ts";

const leads = (route: string, url: string) => leadsTo({ routes: [route], domains: [] }, new URL(url));

describe("a route leads where Cloudflare's documentation says", () => {
  test.each([
    ["example.com/", "https://example.com/", true],
    ["example.com/", "https://example.com/health", false],
    ["https://*.example.com/", "https://www.example.com/", true],
    ["https://*.example.com/", "http://www.example.com/", false],
    ["http://example.com/*", "https://example.com/", false],
    ["*.example.com/*", "http://www.example.com/", true],
    ["*.example.com/*", "https://example.com/", false],
    ["*example.com/*", "https://example.com/", true],
    ["*example.com/*", "https://www.example.com/", true],
    ["example.com/path*", "https://example.com/path", true],
    ["example.com/path*", "https://example.com/path2", true],
    ["example.com/path*", "https://example.com/path/readme.txt", true],
    ["example.com/path/*", "https://example.com/path/readme.txt", true],
    ["example.com/path/*", "https://example.com/path2", false],
    ["example.com/path/*", "https://example.com/path", false],
    ["example.com/path", "https://example.com/path?a=b", false],
    ["example.com/path*", "https://example.com/path?a=b", true],
    ["example.com/Images/*", "https://example.com/images/a", false],
    ["Example.com/*", "https://example.com/", true],
    ["example.com/*", "https://www.example.com/", false],
  ])("%s, asked %s: %s", (route, url, expected) => {
    expect(leads(route, url)).toBe(expected);
  });
});

test("a domain is the Worker's altogether, and no other name's", () => {
  const site = { routes: [], domains: ["app.example"] };
  expect(leadsTo(site, new URL("https://app.example/any/path?at=all"))).toBe(true);
  expect(leadsTo(site, new URL("https://www.app.example/"))).toBe(false);
});

test("a hostname is led to by a route of any path", () => {
  expect(leadsToHost({ routes: ["a.example/edge/*"], domains: [] }, "a.example")).toBe(true);
  expect(leadsToHost({ routes: ["a.example/edge/*"], domains: [] }, "b.example")).toBe(false);
});

test.each([
  "app.example.com",
  "/edge/*",
  "*.example.com*",
  "app.*.com/*",
  "app.example.com/*.jpg",
  "app.example.com/a?b=*",
  "app.example.com:8080/*",
  "ftp://app.example.com/*",
  "app.example.com/a b",
])("%s is no pattern", (text) => {
  expect(readPattern(text)).toBe(null);
});

test("every pattern leads where Cloudflare's own runtime has it lead", () => {
  const host = fc.constantFrom("a.test", "b.a.test", "c.b.a.test", "ba.test", "test");
  const path = fc.constantFrom("/", "/edge", "/edge/", "/edge/health", "/edges", "/health", "/edge/?q=1");
  const scheme = fc.constantFrom("", "http://", "https://");
  const pattern = fc
    .tuple(scheme, fc.constantFrom("", "*", "*."), host, path, fc.constantFrom("", "*"))
    .filter(([, , , asked, last]) => !asked.includes("?") || last === "")
    .map(([before, first, name, asked, last]) => `${before}${first}${name}${asked.split("?")[0]}${last}`);
  const url = fc
    .tuple(fc.constantFrom("http", "https"), host, path)
    .map(([protocol, name, asked]) => `${protocol}://${name}${asked}`);
  fc.assert(
    fc.property(pattern, url, (route, asked) => {
      const theirs = matchRoutes(parseRoutes(new Map([["worker", [route]]])), new URL(asked)) === "worker";
      expect(leads(route, asked)).toBe(theirs);
    }),
    { numRuns: 500 },
  );
});
