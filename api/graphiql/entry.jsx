// GraphiQL for the address that served this page; it sends no request to any other host.
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import { examples } from "./examples.js";
import { fetcher } from "./fetcher.js";
import { rememberingIds } from "./last_created.js";
import { storage } from "./storage.js";

// WORKERS (label -> file name with its content hash) is filled in by build_hook.py.
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) => new Worker(new URL(WORKERS[label] ?? WORKERS.editor, import.meta.url)),
};

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
