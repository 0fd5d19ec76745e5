// gateway.mjs URL USER: composes the service at URL with a subgraph of reviews, and runs plans through Apollo's gateway.
//
// The last line is JSON: the errors of the composition, the services that each plan calls, and its response.
import { composeServices } from "@apollo/composition";
import { ApolloGateway, LocalGraphQLDataSource, RemoteGraphQLDataSource } from "@apollo/gateway";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";

const [url, user] = process.argv.slice(2);
const missing = "019b0c9e-7d4e-7bbb-8a51-000000000000";
setTimeout(() => process.exit(9), 60_000).unref();

const reviews = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.3", import: ["@key", "@shareable"])
  type Query { latestReviews: [Review!]! }
  type Review { id: ID!, text: String!, author: User }
  type User @key(fields: "id") { id: ID!, reviews: [Review!]! }
  type PageInfo @shareable {
    hasNextPage: Boolean!, hasPreviousPage: Boolean!, startCursor: String, endCursor: String
  }
`);
const written = [user, missing, user].map((id, at) => ({ id: String(at), text: `Review ${at}`, author: { id } }));
const local = new LocalGraphQLDataSource(
  buildSubgraphSchema({
    typeDefs: reviews,
    resolvers: {
      Query: { latestReviews: () => written },
      User: {
        __resolveReference: ({ id }) => ({ id }),
        reviews: ({ id }) => written.filter(({ author }) => author.id === id),
      },
    },
  }),
);

const response = await fetch(url, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ query: "{ _service { sdl } }" }),
});
const { sdl } = (await response.json()).data._service;
const { errors, supergraphSdl } = composeServices([
  { name: "tandem", url, typeDefs: parse(sdl) },
  { name: "reviews", url: "local", typeDefs: reviews },
]);

const said = { composition: (errors ?? []).map(String), plans: [] };
if (supergraphSdl) {
  let called;
  const quiet = { debug() {}, info() {}, warn: console.error, error: console.error };
  const gateway = new ApolloGateway({
    supergraphSdl,
    logger: quiet,
    buildService: ({ name }) => (name === "reviews" ? local : new RemoteGraphQLDataSource({ url })),
    experimental_didResolveQueryPlan: ({ queryPlan }) => {
      called = [...JSON.stringify(queryPlan).matchAll(/"serviceName":"(\w+)"/g)].map(([, name]) => name);
    },
  });
  const { executor } = await gateway.load();
  const run = async (query) => {
    const result = await executor({
      document: parse(query),
      request: { query, http: { headers: new Map() } },
      queryHash: query,
      context: {},
      cache: { get: async () => undefined, set: async () => {}, delete: async () => {} },
      schema: gateway.schema,
      metrics: {},
      logger: quiet,
      overallCachePolicy: {},
    });
    said.plans.push({ called, ...JSON.parse(JSON.stringify(result)) });
  };
  for (let time = 0; time < 3; time++) {
    await run("{ latestReviews { id author { id name orderCount } } }");
  }
  await run(`{ user(id: "${user}") { name reviews { text } } }`);
  await run(`mutation { renameUser(input: { userId: "${user}", name: "Alicia" }) { user { name reviews { id } } } }`);
  await gateway.stop();
}
console.log(JSON.stringify(said));
