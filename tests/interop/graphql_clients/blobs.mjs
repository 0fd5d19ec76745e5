// blobs.mjs HOST:PORT CHROMIUM PAGE_PORT BODIES: a page at that port of this machine sends these texts in Blobs.
import { createServer } from "node:http";
import { launch } from "./browser.mjs";
import "./deadline.mjs";

const [address, executablePath, port, bodies] = process.argv.slice(2);
const PATHS = ["/nope", "/livez", "/graphql"];

// In the page, without CORS. The page can read nothing of the response (Cross-Origin-Resource-Policy).
const send = ([target, text]) => fetch(target, { method: "POST", mode: "no-cors", body: new Blob([text]) }).catch(String);

const server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<p>page"));
await new Promise((listening) => server.listen(port, "127.0.0.1", listening));
const browser = await launch(executablePath);
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${port}/`);

const seen = [];
for (const [number, text] of JSON.parse(bodies).entries()) {
  seen.push(await page.evaluate(send, [`http://${address}${PATHS[number % PATHS.length]}`, text]));
}
await browser.close();
server.close();
server.closeAllConnections();
console.log(JSON.stringify(seen));
