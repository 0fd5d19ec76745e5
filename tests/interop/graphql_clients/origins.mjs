// origins.mjs HOST:PORT CHROMIUM PAGE_PORT: what a page at that port of this machine gets from the service.
import { createServer } from "node:http";
import { launch } from "./browser.mjs";
import "./deadline.mjs";

const [address, executablePath, port] = process.argv.slice(2);
const url = `http://${address}/graphql`;
const MUTATION = 'mutation { createUser(input: {name: "Eve", email: "eve@example.com"}) { id } }';
const TRACED = {
  "content-type": "application/json",
  authorization: "Bearer abc",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  tracestate: "a=b",
  baggage: "a=b",
  "sentry-trace": "abc",
  "x-request-id": "1",
  "cache-control": "no-cache",
  "apollographql-client-name": "web",
};
const TYPES = ["/", "foo", "text/plain", "text/plain, application/json", "application/json, text/plain", "application/json"];

// In the page: a response as the page may read it, or the kind of error.
const send = ([target, options]) =>
  fetch(target, options).then(async (response) => [response.type, response.status, await response.text()], String);

const server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<p>page"));
await new Promise((listening) => server.listen(port, "127.0.0.1", listening));
const browser = await launch(executablePath);
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${port}/`);

const body = JSON.stringify({ query: MUTATION });
const traced = await page.evaluate(send, [url, { method: "POST", headers: TRACED, body }]);
const typed = [];
for (const mode of ["cors", "no-cors"]) {
  for (const type of TYPES) {
    const headers = { "content-type": type };
    typed.push(await page.evaluate(send, [url, { method: "POST", mode, headers, body }]));
    typed.push(await page.evaluate(send, [`${url}?query={users{totalCount}}`, { mode, headers }]));
  }
}
await browser.close();
server.close();
server.closeAllConnections();
console.log(JSON.stringify({ traced, typed }));
