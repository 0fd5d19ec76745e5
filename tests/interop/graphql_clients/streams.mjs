// streams.mjs HOST:PORT CHROMIUM PAGE_PORT USER COUNT [TOKEN]: versions that an EventSource and a WebSocket of a page get.
import { createServer } from "node:http";
import { launch } from "./browser.mjs";
import "./deadline.mjs";

const [address, executablePath, port, id, count, token] = process.argv.slice(2);

// In the page. With a token, each connection has a stream token of its own.
const watch = async ([address, id, count, token]) => {
  const query = `subscription { userChanged(id: "${id}") { version } }`;
  const parameters = async (given) => {
    if (!token) return new URLSearchParams(given);
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`http://${address}/graphql/stream-token`, { method: "POST", headers });
    return new URLSearchParams({ ...given, access_token: (await response.json()).access_token });
  };
  const version = (text) => JSON.parse(text).data.userChanged.version;

  const events = [];
  const source = new EventSource(`http://${address}/graphql?${await parameters({ query })}`);
  await new Promise((done) => {
    source.addEventListener("next", ({ data, lastEventId }) => {
      events.push([version(data), lastEventId]);
      if (events.length === count) done();
    });
    source.onerror = () => source.readyState === EventSource.CLOSED && done(events.push("closed"));
  });
  source.close();

  const socket = new WebSocket(`ws://${address}/graphql?${await parameters({})}`, "graphql-transport-ws");
  const message = await new Promise((done) => {
    socket.onopen = () => socket.send(JSON.stringify({ type: "connection_init" }));
    socket.onclose = ({ code }) => done(code);
    socket.onmessage = ({ data }) => {
      const { type, payload } = JSON.parse(data);
      if (type === "connection_ack") socket.send(JSON.stringify({ type: "subscribe", id: "1", payload: { query } }));
      else done(payload.data.userChanged.version);
    };
  });
  socket.close();
  return { events, message };
};

const server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<p>page"));
await new Promise((listening) => server.listen(port, "127.0.0.1", listening));
const browser = await launch(executablePath);
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${port}/`);
const seen = await page.evaluate(watch, [address, id, Number(count), token]);
await browser.close();
server.close();
server.closeAllConnections();
console.log(JSON.stringify(seen));
