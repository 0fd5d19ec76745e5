// apq.mjs ADDRESS OTHER: Apollo Client's persisted queries, at two processes in turn: data, and [method, text sent].
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { createHash } from "node:crypto";
import "./deadline.mjs";

const [first, second] = process.argv.slice(2);
const sha256 = async (text) => createHash("sha256").update(text).digest("hex");

const client = (address, useGETForHashedQueries, requests) => {
  const counted = async (target, options) => {
    const { method } = options;
    const query = method === "GET" ? new URL(target).searchParams.get("query") : JSON.parse(options.body).query;
    requests.push([method, Boolean(query)]);
    return fetch(target, options);
  };
  const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries });
  const link = persisted.concat(new HttpLink({ uri: `http://${address}/graphql`, fetch: counted }));
  return new ApolloClient({ link, cache: new InMemoryCache() });
};

const told = {};
for (const get of [false, true]) {
  const query = gql(`query Users${get} { users { pageInfo { hasPreviousPage } } }`);
  const mutation = gql(`mutation Create${get}($input: CreateUserInput!) { createUser(input: $input) { version } }`);
  for (const address of [first, second]) {
    const requests = [];
    const apollo = client(address, get, requests);
    const input = { name: "Alice", email: `${get}@${address.replace(":", ".")}.example.com` };
    const { data } = await apollo.query({ query });
    const created = await apollo.mutate({ mutation, variables: { input } });
    told[`${get ? "GET" : "POST"} ${address}`] = { data: { ...data, ...created.data }, requests };
  }
}
console.log(JSON.stringify(told));
