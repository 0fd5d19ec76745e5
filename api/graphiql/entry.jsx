// GraphiQL against the address that served this page: POST for queries and mutations,
// graphql-transport-ws for subscriptions. Nothing is asked of any other host.
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createClient } from "graphql-ws";
import { createRoot } from "react-dom/client";
import { examples } from "./examples.js";
import { rememberingIds } from "./last_created.js";
import { storage } from "./storage.js";

// WORKERS (label -> file name with its content hash) is filled in by build_hook.py.
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) => new Worker(new URL(WORKERS[label] ?? WORKERS.editor, import.meta.url)),
};

const endpoint = new URL(location.pathname, location.origin);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

const fetcher = createGraphiQLFetcher({
  url: endpoint.href,
  wsClient: createClient({ url: socket.href }),
  enableIncrementalDelivery: false,
});

// GraphiQL itself starts from keys that every window of this browser writes to, and so mixes up the
// tabs of two windows: start from the stored tabs alone.
const stored = JSON.parse(storage.getItem("graphiql:tabState"));
const active = stored ? stored.tabs[stored.activeTabIndex] : examples[0];

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={rememberingIds(fetcher)}
    storage={storage}
    defaultTabs={examples}
    initialQuery={active?.query ?? ""}
    initialVariables={active?.variables ?? ""}
    defaultEditorToolsVisibility="variables"
  >
    <GraphiQL.Logo>Tandem</GraphiQL.Logo>
  </GraphiQL>,
);
