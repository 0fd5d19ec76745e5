// relay.mjs HOST:PORT SCHEMA USER ORDER: compiles documents with Relay's compiler, executes them with Relay's runtime,
// and tells what its store has after each page.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import runtime from "relay-runtime";
import "./deadline.mjs";

const [address, schema, user, order] = process.argv.slice(2);
const PAGE = `first: $first, after: $after, last: $last, before: $before`;
const ARGUMENTS = `after: { type: "String" } before: { type: "String" }`;
const DOCUMENTS = `
graphql\`query PagesUserQuery($id: ID!) { user(id: $id) { name ...Pages_orders } }\`;
graphql\`fragment Pages_orders on User @refetchable(queryName: "PagesOrdersQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 2 } last: { type: "Int" } ${ARGUMENTS}) {
  orders(${PAGE}) @connection(key: "Pages_orders_orders") { edges { node { id } } }
}\`;
graphql\`query PagesUsersQuery { ...Pages_users }\`;
graphql\`fragment Pages_users on Query @refetchable(queryName: "PagesMoreUsersQuery")
  @argumentDefinitions(first: { type: "Int" } last: { type: "Int", defaultValue: 2 } ${ARGUMENTS}) {
  users(${PAGE}) @connection(key: "Pages_users_users") { edges { node { id } } }
}\`;
graphql\`query PagesNodesQuery($ids: [ID!]!) {
  nodes(ids: $ids) { __typename id ... on User { name } ... on Order { total } }
}\`;
`;

const project = join(import.meta.dirname, "relay");
mkdirSync(join(project, "src"), { recursive: true });
mkdirSync(join(project, "artifacts"));
copyFileSync(schema, join(project, "schema.graphql"));
writeFileSync(join(project, "package.json"), '{"type": "commonjs"}');
writeFileSync(join(project, "src", "Pages.js"), DOCUMENTS);
const config = { src: "src", schema: "schema.graphql", language: "javascript", artifactDirectory: "artifacts" };
writeFileSync(join(project, "relay.config.json"), JSON.stringify({ ...config, eagerEsModules: false }));
const compiler = join(import.meta.dirname, "node_modules", "relay-compiler", "cli.js");
execFileSync(process.execPath, [compiler], { cwd: project, stdio: "inherit" });
const artifact = (name) => createRequire(import.meta.url)(join(project, "artifacts", `${name}.graphql.js`));

const post = async ({ text }, variables) => {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ query: text, variables });
  const response = await (await fetch(`http://${address}/graphql`, { method: "POST", headers, body })).json();
  if (response.errors) throw new Error(JSON.stringify(response.errors));
  return response;
};
const store = new runtime.Store(new runtime.RecordSource());
const environment = new runtime.Environment({ network: runtime.Network.create(post), store });
const execute = (query, variables) => runtime.fetchQuery(environment, query, variables).toPromise();

// Loads the remaining pages of a connection, as usePaginationFragment does; returns the ids in the store after each.
const pages = async (fragment, reference, direction) => {
  const { paginationRequest, paginationMetadata, identifierInfo } = runtime.getPaginationMetadata(fragment, "pages");
  const selector = runtime.getSingularSelector(fragment, reference);
  const told = [];
  for (;;) {
    const { data } = environment.lookup(selector);
    const { edges, pageInfo } = data.orders ?? data.users;
    told.push(edges.map(({ node }) => node.id));
    const forward = direction === "forward";
    if (!(forward ? pageInfo.hasNextPage : pageInfo.hasPreviousPage)) return told;
    const variables = runtime.getPaginationVariables(
      direction,
      2,
      forward ? pageInfo.endCursor : pageInfo.startCursor,
      { ...selector.owner.variables, ...selector.variables },
      {},
      paginationMetadata,
    );
    if (identifierInfo) variables[identifierInfo.identifierQueryVariableName] = data[identifierInfo.identifierField];
    await execute(paginationRequest, variables);
  }
};

const found = await execute(artifact("PagesUserQuery"), { id: user });
const orders = await pages(artifact("Pages_orders"), found.user, "forward");
const listed = await execute(artifact("PagesUsersQuery"), {});
const users = await pages(artifact("Pages_users"), listed, "backward");
const { nodes } = await execute(artifact("PagesNodesQuery"), { ids: [order, "019b0c9e-7d4e-7bbb-8a51-000000000000", user] });
console.log(JSON.stringify({ orders, users, nodes }));
