import { describe, expect, it } from "vitest";
import {
  addHistograms,
  countWithin,
  increaseBetween,
  quantile,
  readScrape,
} from "../../components/gates/metrics.ts";

const options = { ownPaths: ["/health", "/metrics"], counters: ["ftso_submissions_failed_total"] };

describe("reading Prometheus text", () => {
  it("sums requests and server errors over labels and leaves out the watcher's own paths", () => {
    const scrape = readScrape(
      `# HELP http_requests_total Requests answered.
# TYPE http_requests_total counter
http_requests_total{route="/",method="GET",status="200"} 90
http_requests_total{route="/",method="POST",status="200"} 7
http_requests_total{route="/api",method="GET",status="503"} 2
http_requests_total{route="/api",method="GET",status="500"} 1
http_requests_total{route="/api",method="GET",status="404"} 5
http_requests_total{route="/health",method="GET",status="500"} 1000
http_requests_total{route="/metrics/",method="GET",status="200"} 1000
process_start_time_seconds 1700000000
process_cpu_seconds_total 1.5
process_resident_memory_bytes 5.2428800e+07
ftso_submissions_failed_total{feed="BTC"} 2
ftso_submissions_failed_total{feed="XRP"} 1
`,
      options,
    );
    expect(scrape).toEqual({
      processStart: 1_700_000_000,
      requests: 105,
      errors: 3,
      latency: null,
      pathsTold: true,
      counters: { ftso_submissions_failed_total: 3 },
      gauges: {},
      cpuSeconds: 1.5,
      residentBytes: 52_428_800,
    });
  });

  it("adds a histogram's label sets instead of keeping the last one", () => {
    const { latency, requests, errors } = readScrape(
      `# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.1",status="200"} 8
http_request_duration_seconds_bucket{le="1",status="200"} 9
http_request_duration_seconds_bucket{le="+Inf",status="200"} 10
http_request_duration_seconds_sum{status="200"} 3
http_request_duration_seconds_count{status="200"} 10
http_request_duration_seconds_bucket{le="0.1",status="500"} 1
http_request_duration_seconds_bucket{le="1",status="500"} 1
http_request_duration_seconds_bucket{le="+Inf",status="500"} 4
http_request_duration_seconds_sum{status="500"} 9
http_request_duration_seconds_count{status="500"} 4`,
      options,
    );
    expect(latency).toEqual({ bounds: [0.1, 1, Number.POSITIVE_INFINITY], counts: [9, 10, 14] });
    expect({ requests, errors }).toEqual({ requests: 14, errors: 4 });
  });

  it.each([
    ["no newline at the end", 'http_requests_total{status="200"} 3'],
    ["CRLF", '# TYPE http_requests_total counter\r\nhttp_requests_total{status="200"} 3\r\n'],
    ["HELP without a text", '# HELP http_requests_total\nhttp_requests_total{status="200"} 3\n'],
    ["spaces between labels", 'http_requests_total{ method="GET", status="200" } 3\n'],
    ["a comma and a brace inside a label", 'http_requests_total{client="a, b}\\" c",status="200",} 3\n'],
    ["a timestamp", 'http_requests_total{status="200"} 3 1395066363000\n'],
    ["an exemplar", 'http_requests_total{status="200"} 3 # {trace_id="x"} 0.5\n'],
    ["NaN beside it", 'something NaN\nanother Nan\nhttp_requests_total{status="200"} 3\n'],
  ])("takes %s", (_name, text) => {
    expect(readScrape(text, options)).toMatchObject({ requests: 3, errors: 0 });
  });

  it("shows an application's counter that is declared and has no series yet, and no gauge as one", () => {
    const asked = { ownPaths: [], counters: ["ftso_submissions_failed_total"], gauges: ["queue"] };
    const declared = readScrape("# TYPE ftso_submissions_failed_total counter\nup 1\n", asked);
    expect(declared).toMatchObject({
      counters: { ftso_submissions_failed_total: 0 },
      gauges: { queue: null },
    });
    const gauge =
      '# TYPE ftso_submissions_failed_total gauge\nftso_submissions_failed_total 3\nqueue{of="a"} 1\nqueue{of="b"} 7\n';
    expect(readScrape(gauge, asked)).toMatchObject({
      counters: { ftso_submissions_failed_total: null },
      gauges: { queue: 7 },
    });
  });

  it("says null where the service does not report", () => {
    expect(readScrape("up 1\n", options)).toEqual({
      processStart: null,
      requests: null,
      errors: null,
      latency: null,
      pathsTold: true,
      counters: { ftso_submissions_failed_total: null },
      gauges: {},
      cpuSeconds: null,
      residentBytes: null,
    });
    expect(readScrape("http_requests_total 5\n", options)).toMatchObject({
      requests: 5,
      errors: null,
      pathsTold: false,
    });
  });

  it("refuses what is not Prometheus text, naming the line", () => {
    expect(() => readScrape("<!doctype html>\n<title>Not found</title>\n", options)).toThrow(
      'not Prometheus text: found "<!doctype html>"',
    );
    expect(() => readScrape("http_requests_total many\n", options)).toThrow(
      'not Prometheus text: found "http_requests_total many"',
    );
  });
});

describe("what happened between two scrapes", () => {
  const scrape = (requests: number, errors: number, start = 1) =>
    readScrape(
      `process_start_time_seconds ${start}
http_requests_total{status="200"} ${requests - errors}
http_requests_total{status="500"} ${errors}
http_request_duration_seconds_bucket{le="1"} ${requests - errors}
http_request_duration_seconds_bucket{le="+Inf"} ${requests}
ftso_submissions_failed_total ${errors}`,
      options,
    );

  it("is the difference", () => {
    expect(increaseBetween(scrape(100, 5), scrape(130, 7))).toEqual({
      requests: 30,
      errors: 2,
      latency: { bounds: [1, Number.POSITIVE_INFINITY], counts: [28, 30] },
      counters: { ftso_submissions_failed_total: 2 },
      cpuSeconds: null,
      reset: false,
    });
  });

  it("is what the new process counted, when another one answers", () => {
    const expected = {
      requests: 40,
      errors: 1,
      latency: { bounds: [1, Number.POSITIVE_INFINITY], counts: [39, 40] },
      counters: { ftso_submissions_failed_total: 1 },
      cpuSeconds: null,
      reset: true,
    };
    expect(increaseBetween(scrape(100, 5), scrape(40, 1))).toEqual(expected);
    expect(increaseBetween(scrape(10, 0, 1), scrape(40, 1, 2))).toEqual(expected);
  });
});

describe("quantiles", () => {
  const histogram = { bounds: [0.1, 1, 5, Number.POSITIVE_INFINITY], counts: [80, 90, 100, 100] };

  it("are linear within the bucket", () => {
    expect(quantile(histogram, 0.5)).toEqual({ value: 0.0625, atLeast: false });
    expect(quantile(histogram, 0.95)).toEqual({ value: 3, atLeast: false });
  });

  it("say at least, in the open bucket", () => {
    expect(quantile({ ...histogram, counts: [80, 90, 90, 100] }, 0.95)).toEqual({ value: 5, atLeast: true });
  });

  it("do not exist without requests", () => {
    expect(quantile({ bounds: [1, Number.POSITIVE_INFINITY], counts: [0, 0] }, 0.95)).toBeNull();
  });

  it("can be added, and counted to a bound", () => {
    const sum = addHistograms(histogram, histogram);
    expect(sum.counts).toEqual([160, 180, 200, 200]);
    expect([countWithin(sum, 0.05), countWithin(sum, 1), countWithin(sum, 2)]).toEqual([0, 180, 180]);
  });
});
