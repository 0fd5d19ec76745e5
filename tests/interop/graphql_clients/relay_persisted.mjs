// relay_persisted.mjs compile SCHEMA MANIFEST: compiles an operation, whose text goes into the manifest alone.
// relay_persisted.mjs execute HOST:PORT USER: executes it by its id, under each name that networks of Relay send.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import runtime from "relay-runtime";
import "./deadline.mjs";

const [step, ...words] = process.argv.slice(2);
const project = join(import.meta.dirname, "persisted");

const compile = (schema, manifest) => {
  mkdirSync(join(project, "src"), { recursive: true });
  mkdirSync(join(project, "artifacts"));
  copyFileSync(schema, join(project, "schema.graphql"));
  writeFileSync(join(project, "package.json"), '{"type": "commonjs"}');
  writeFileSync(join(project, "src", "User.js"), "graphql`query UserQuery($id: ID!) { user(id: $id) { name } }`;");
  const config = {
    ...{ src: "src", schema: "schema.graphql", language: "javascript", artifactDirectory: "artifacts" },
    ...{ eagerEsModules: false, persistConfig: { file: manifest, algorithm: "SHA256" } },
  };
  writeFileSync(manifest, "{}");
  writeFileSync(join(project, "relay.config.json"), JSON.stringify(config));
  const compiler = join(import.meta.dirname, "node_modules", "relay-compiler", "cli.js");
  execFileSync(process.execPath, [compiler], { cwd: project, stdio: "inherit" });
  console.log("null");
};

const execute = async (address, id) => {
  const query = createRequire(import.meta.url)(join(project, "artifacts", "UserQuery.graphql.js"));
  const told = {};
  for (const name of ["doc_id", "id", "documentId"]) {
    const post = async (params, variables) => {
      const headers = { "content-type": "application/json" };
      const body = JSON.stringify({ [name]: params.id, query: params.text, variables });
      return (await fetch(`http://${address}/graphql`, { method: "POST", headers, body })).json();
    };
    const store = new runtime.Store(new runtime.RecordSource());
    const environment = new runtime.Environment({ network: runtime.Network.create(post), store });
    told[name] = await runtime.fetchQuery(environment, query, { id }).toPromise();
  }
  console.log(JSON.stringify(told));
};

await { compile, execute }[step](...words);
