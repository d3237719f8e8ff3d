// Loaded before the example service in the stand-in's images: what POD's API has and the example lacks, a token asked
// for on /api/private and a rate limit on /api/limited.
const http = require("node:http");
const { syncBuiltinESMExports } = require("node:module");

const createServer = http.createServer;
const fault = process.env.API_FAULT ?? "";
let second = 0;
let taken = 0;

http.createServer = (listener) =>
  createServer((request, response) => {
    const answer = (status, text) =>
      response.writeHead(status, { "x-release": process.env.RELEASE }).end(text);
    if (request.url === "/api/private" && fault !== "no-authentication" && !request.headers.authorization) {
      return answer(401, "a token is needed\n");
    }
    if (request.url === "/api/limited" && fault !== "no-limits") {
      const now = Math.floor(Date.now() / 1000);
      taken = now === second ? taken + 1 : 1;
      second = now;
      if (taken > 10) return answer(429, "slow down\n");
    }
    return listener(request, response);
  });
syncBuiltinESMExports();
