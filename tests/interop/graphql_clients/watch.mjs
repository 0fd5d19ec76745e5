// watch.mjs HOST:PORT ID: one subscription of graphql-ws, with a line for each user, close and failure it gets.
// SIGUSR2 makes it send 200 pings at once.
import { createClient } from "graphql-ws";
import "./deadline.mjs";

const [address, id] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));
let socket;
const client = createClient({
  url: `ws://${address}/graphql`,
  retryAttempts: 100,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
  on: { connected: (opened) => (socket = opened), closed: ({ code }) => print({ closed: code }) },
});
client.subscribe(
  { query: "subscription($id: ID!) { userChanged(id: $id) { name version } }", variables: { id } },
  {
    next: ({ data }) => print({ version: data.userChanged.version }),
    error: (error) => print({ failed: error.code ?? String(error) }),
    complete: () => print({ complete: true }),
  },
);
process.on("SIGUSR2", () => {
  for (let i = 0; i < 200; i++) socket.send('{"type":"ping"}');
});
