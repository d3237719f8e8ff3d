/**
 * Loaded before a program of a test (NODE_OPTIONS=--import): what it asks of an https address goes to the test's own
 * Cloudflare, under the hostname it was meant for. Nothing of it leaves this machine.
 */
const to = process.env.SWITCHYARD_TEST_CLOUDFLARE;
if (to !== undefined) {
  const real = globalThis.fetch;
  globalThis.fetch = (input, init) => {
    const url = new URL(input instanceof Request ? input.url : String(input));
    if (url.protocol !== "https:") return real(input, init);
    return real(`${to}/front/${url.host}${url.pathname}${url.search}`, init);
  };
}
