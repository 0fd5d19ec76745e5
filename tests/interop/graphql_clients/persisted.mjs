// persisted.mjs HOST:PORT: for each client, its data and the requests it made, as [method, whether it sent the text].
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { Client, fetchExchange } from "@urql/core";
import { persistedExchange } from "@urql/exchange-persisted";
import { createHash } from "node:crypto";
import "./deadline.mjs";

const [address] = process.argv.slice(2);
const url = `http://${address}/graphql`;
const sha256 = async (text) => createHash("sha256").update(text).digest("hex");

let requests;
const counted = async (target, options) => {
  const { method } = options;
  const query = method === "GET" ? new URL(target).searchParams.get("query") : JSON.parse(options.body).query;
  requests.push([method, Boolean(query)]);
  return fetch(target, options);
};

const urql = async (query, get) => {
  const persisted = persistedExchange({ generateHash: sha256, preferGetForPersistedQueries: get });
  const client = new Client({ url, fetch: counted, exchanges: [persisted, fetchExchange] });
  const { data, error } = await client.query(query, {}).toPromise();
  return data ?? String(error);
};

const apollo = async (query, useGETForHashedQueries) => {
  const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries });
  const link = persisted.concat(new HttpLink({ uri: url, fetch: counted }));
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  return client.query({ query: gql(query) }).then(({ data }) => data, String);
};

// As both print it: Apollo Client asks for __typename in every object by itself.
const HELLO = "query Hello {\n  users {\n    totalCount\n    __typename\n  }\n}";
const told = {};
for (const [name, ask] of Object.entries({ urql, apollo })) {
  for (const get of [false, true]) {
    requests = [];
    const data = await ask(HELLO, get);
    told[`${name} ${get ? "GET" : "POST"}`] = { data, requests };
  }
}
console.log(JSON.stringify(told));
