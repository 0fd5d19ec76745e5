// retried.mjs CODE...: whether graphql-ws connects again after each close code, by its own rule.
import { createClient } from "graphql-ws";
import "./deadline.mjs";

const retried = async (code) => {
  let connections = 0;
  class Closed {
    static CONNECTING = 0;
    static OPEN = 1;
    static CLOSING = 2;
    static CLOSED = 3;
    constructor() {
      connections += 1;
      setTimeout(() => this.onclose({ code, reason: "", wasClean: true }));
    }
    close() {}
  }
  const client = createClient({ url: "ws://localhost", webSocketImpl: Closed, retryAttempts: 1, retryWait: async () => {} });
  await Array.fromAsync(client.iterate({ query: "{ __typename }" })).catch(() => {});
  return connections === 2;
};

const codes = process.argv.slice(2).map(Number);
const found = await Promise.all(codes.map(async (code) => [code, await retried(code)]));
console.log(JSON.stringify(Object.fromEntries(found)));
