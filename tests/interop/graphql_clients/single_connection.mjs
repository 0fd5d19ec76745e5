// single_connection.mjs HOST:PORT: the refusal that graphql-sse gets in its single connection mode.
import { createClient } from "graphql-sse";
import "./deadline.mjs";

const [address] = process.argv.slice(2);
let body;
const client = createClient({
  url: `http://${address}/graphql`,
  singleConnection: true,
  retryAttempts: 0,
  fetchFn: async (...words) => {
    const response = await fetch(...words);
    body = await response.clone().json(); // the client discards it
    return response;
  },
});
client.subscribe(
  { query: "{ __typename }" },
  {
    next: () => {},
    complete: () => {},
    error: ({ response }) => console.log(JSON.stringify({ status: response.status, ...body.errors[0] })),
  },
);
