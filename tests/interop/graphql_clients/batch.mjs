// batch.mjs HOST:PORT: what Apollo Client's BatchHttpLink gets for operations of one moment, and its bodies.
import { ApolloClient, InMemoryCache, gql } from "@apollo/client/core";
import { BatchHttpLink } from "@apollo/client/link/batch-http";
import "./deadline.mjs";

const [address] = process.argv.slice(2);
const bodies = [];
const counted = async (target, options) => {
  bodies.push(JSON.parse(options.body));
  return fetch(target, options);
};

const link = new BatchHttpLink({ uri: `http://${address}/graphql`, batchInterval: 50, batchMax: 10, fetch: counted });
const client = new ApolloClient({ link, cache: new InMemoryCache() });
const settled = (promise) =>
  promise.then(
    ({ data }) => data,
    (error) => error.errors.map(({ extensions }) => extensions.code),
  );
const query = (text) => settled(client.query({ query: gql(text), fetchPolicy: "no-cache" }));
const create = (name, email) =>
  settled(
    client.mutate({
      mutation: gql`
        mutation Create($input: CreateUserInput!) {
          createUser(input: $input) {
            version
          }
        }
      `,
      variables: { input: { name, email } },
    }),
  );

const told = await Promise.all([
  query("query A { users { totalCount } }"),
  query("query B { nothing }"),
  create("Alice", "alice@example.com"),
  create("Bob", "no address"),
  query("query C { topCustomers { name } }"),
]);
console.log(JSON.stringify({ told, sizes: bodies.map((body) => (Array.isArray(body) ? body.length : 0)) }));
