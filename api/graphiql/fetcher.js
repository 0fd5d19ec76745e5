// Sends operations to the address that served this page: queries and mutations with POST, subscriptions over
// graphql-transport-ws. Request headers from GraphiQL are sent as headers, and as connection parameters, since
// a browser's WebSocket cannot send headers.
import { parse } from "graphql";
import { createClient } from "graphql-ws";

const endpoint = new URL(location.pathname, location.origin);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

const operationsOf = (query) => {
  try {
    return parse(query).definitions.filter(({ operation }) => operation);
  } catch {
    return []; // the service reports the syntax error
  }
};

// Parsed from the text that is sent: right after a change of tabs, GraphiQL's operation name and document are
// still those of the previous tab.
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

// A subscription survives a restart of the service: it reconnects for half a minute, and starts with the present
// state again.
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
