// client.mjs PACKAGE HOST:PORT: what a client of that package is told, from a user's first day to its last.
import { createClient as eventStreams } from "graphql-sse";
import { createClient as webSocket } from "graphql-ws";
import "./deadline.mjs";

const [name, address] = process.argv.slice(2);
const client = {
  "graphql-ws": () => webSocket({ url: `ws://${address}/graphql`, retryAttempts: 0 }),
  "graphql-sse": () => eventStreams({ url: `http://${address}/graphql`, singleConnection: false, retryAttempts: 0 }),
}[name]();

const CREATE = "mutation($input: CreateUserInput!) { createUser(input: $input) { id version } }";
const READ = "query($id: ID!, $version: Int) { user(id: $id, minVersion: $version) { name version } }";
const RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }";
const ERASE = "mutation($input: EraseUserInput!) { eraseUser(input: $input) { version } }";
const WATCH = "subscription($id: ID!) { userChanged(id: $id) { name version } }";

const all = (query, variables = {}) => Array.fromAsync(client.iterate({ query, variables }));

const ask = async (query, variables) => {
  const answers = await all(query, variables);
  if (answers.length !== 1) throw new Error(`${answers.length} answers to ${query}`);
  return answers[0];
};

// Over WebSocket the errors of what was not executed are thrown; in an event stream they are an answer.
const codes = async (query) => {
  const errors = await all(query).then(([answer]) => answer.errors, (thrown) => thrown);
  if (!Array.isArray(errors)) throw errors;
  return errors.map(({ extensions }) => extensions.code);
};

// Each change is caused by what was told before, so that none of them is there already.
const watch = async (userId) => {
  const told = [];
  for await (const { data, errors } of client.iterate({ query: WATCH, variables: { id: userId } })) {
    told.push(errors ?? data.userChanged);
    const turn = told.length;
    if (turn < 4) await ask(RENAME, { input: { userId, name: `Alice ${turn}` } });
    else await ask(ERASE, { input: { userId } });
  }
  return told;
};

const input = { name: "Alice", email: "alice@example.com" };
const created = await ask(CREATE, { input });
const { id, version } = created.data.createUser;
const found = await ask(READ, { id, version });
const refused = await ask(CREATE, { input });
const invalid = await codes("{ nothing }");
const told = await watch(id);
client.dispose();
console.log(JSON.stringify({ created, found, refused, invalid, told }));
