// apollo.mjs HOST:PORT USER NUMBER: what subscriptions of Apollo Client over HTTP get: NUMBER changes, and errors.
import { ApolloClient, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import "./deadline.mjs";

const [address, id, number] = process.argv.slice(2);
const accepted = new Set();
const sent = (target, options) => {
  accepted.add(options.headers.accept);
  return fetch(target, options);
};
const link = new HttpLink({ uri: `http://${address}/graphql`, fetch: sent });
const client = new ApolloClient({ link, cache: new InMemoryCache() });

const watch = (text, count) =>
  new Promise((ended) => {
    const told = [];
    const subscription = client.subscribe({ query: gql(text), variables: { id } }).subscribe({
      next: ({ data, error }) => {
        told.push(error ? (error.errors ?? [error]).map(({ extensions }) => extensions.code) : data.userChanged.version);
        if (told.length === count) subscription.unsubscribe(ended(told));
      },
      error: (thrown) => ended([...told, String(thrown)]),
      complete: () => ended([...told, "complete"]),
    });
  });

const versions = await watch("subscription($id: ID!) { userChanged(id: $id) { id version } }", Number(number));
const invalid = await watch("subscription { nothing }");
const forgotten = await watch("subscription($id: ID!) { userChanged(id: $id, afterVersion: -1) { id version } }");
console.log(JSON.stringify({ accepted: [...accepted], versions, invalid, forgotten }));
