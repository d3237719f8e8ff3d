import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { HttpSampler } from "../../../components/gates/http-sampler.ts";
import type { InstanceScrapes } from "../../../components/gates/seen.ts";

/** A service that counts its requests by path, as the service contract says. */
let service: Server;
let origin: string;
let counted: Map<string, number>;

beforeEach(async () => {
  counted = new Map();
  service = createServer((request, response) => {
    const path = request.url ?? "/";
    if (path === "/metrics") {
      const lines = [...counted].map(
        ([one, count]) => `http_requests_total{path="${one}",status="200"} ${count}`,
      );
      response.end(`# TYPE http_requests_total counter\n${lines.join("\n")}\n`);
      return;
    }
    counted.set(path, (counted.get(path) ?? 0) + 1);
    response.end("ok");
  });
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
});
afterEach(async () => {
  service.closeAllConnections();
  await new Promise((resolve) => service.close(resolve));
});

async function requestsSeen(paths: readonly string[], asked: readonly string[]): Promise<number | null> {
  const sampler = new HttpSampler({
    services: [{ name: "api", processes: () => [origin], health: "/health", metrics: "/metrics" }],
    rules: [],
    scrapeSeconds: 1,
    probes: { paths, perSecond: 1 },
  });
  try {
    for (const path of asked) await fetch(`${origin}${path}`);
    const { api } = await sampler.sample();
    const scrape = (api?.metrics as InstanceScrapes).instances[origin];
    return scrape && "requests" in scrape ? scrape.requests : null;
  } finally {
    sampler.close();
  }
}

it("counts no checks of health as traffic: nobody else asks for them", async () => {
  expect(await requestsSeen(["/"], ["/", "/", "/health", "/health", "/health"])).toBe(2);
});

it("counts the health path where our own requests ask it for want of another", async () => {
  expect(await requestsSeen(["/health"], ["/health", "/health", "/health"])).toBeGreaterThanOrEqual(3);
});
