// How an operation reaches the address that served this page: POST for queries and mutations,
// graphql-transport-ws for subscriptions. The request headers typed into GraphiQL go along: as headers,
// and as the connection's parameters, since a browser's WebSocket carries no headers of its own.
import { parse } from "graphql";
import { createClient } from "graphql-ws";

const endpoint = new URL(location.pathname, location.origin);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

const operationsOf = (query) => {
  try {
    return parse(query).definitions.filter(({ operation }) => operation);
  } catch {
    return []; // the service says what is wrong with it
  }
};

// Read from the text that is sent: for a moment after a change of tabs, GraphiQL's own operation name and
// document are still those of the tab before.
const operationOf = ({ query, operationName }) => {
  const operations = operationsOf(query);
  return operations.length === 1 ? operations[0] : operations.find(({ name }) => name?.value === operationName);
};

const post = async (params, headers) => {
  const response = await fetch(endpoint, {
    method: "POST",
    body: JSON.stringify(params),
    headers: {
      "content-type": "application/json",
      accept: "application/graphql-response+json, application/json;q=0.9",
      ...headers,
    },
  });
  return response.json();
};

const readable = (failure) =>
  failure instanceof Event
    ? { message: `The WebSocket was lost: ${failure.reason || failure.code || "is the service running?"}` }
    : failure;

// A watcher outlives a restart of the service: it tries again for half a minute, and the present
// state comes first again.
const subscribe = (params, connectionParams) => ({
  subscribe: (sink) => {
    const client = createClient({ url: socket.href, connectionParams, shouldRetry: () => true });
    const watcher = { ...sink, error: (failure) => sink.error(readable(failure)) };
    return { unsubscribe: client.subscribe(params, watcher) };
  },
});

export const fetcher = (params, { headers } = {}) => {
  const operation = operationOf(params);
  const request = operation ? { ...params, operationName: operation.name?.value } : params;
  return operation?.operation === "subscription" ? subscribe(request, headers) : post(request, headers);
};
