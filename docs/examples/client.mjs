// A client in JavaScript, for browsers and Node 20 or newer, without packages:
// node docs/examples/client.mjs http://127.0.0.1:8000
//
// Creates a user, reads it in the version that was written, shows a refusal, and receives changes.

const url = process.argv[2] ?? "http://127.0.0.1:8000";

const CREATE = `mutation($input: CreateUserInput!) {
  createUser(input: $input) { id version errors { ... on CommandError { code message } } }
}`;
const READ = "query($id: ID!, $version: Int) { user(id: $id, minVersion: $version) { name email version } }";
const RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }";
const WATCH = "subscription($id: ID!) { userChanged(id: $id) { name version } }";

const UNKNOWN_OUTCOME = new Set(["WRITE_MODEL_UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED"]);

const post = (accept, query, variables) =>
  fetch(`${url}/graphql`, {
    method: "POST",
    // With AUTH_SECRET or AUTH_JWKS_URL set: Authorization: `Bearer ${token}`
    headers: { "Content-Type": "application/json", Accept: accept },
    body: JSON.stringify({ query, variables }),
  });

// Returns `data`. Throws an error with the code of the first GraphQL error.
const execute = async (query, variables) => {
  const { data, errors } = await (await post("application/json", query, variables)).json();
  if (errors) throw Object.assign(new Error(errors[0].message), { code: errors[0].extensions.code });
  return data;
};

// Carries out a command once. With one idempotency key it may be sent again after an unknown outcome.
const command = async (mutation, given) => {
  const input = { ...given, idempotencyKey: crypto.randomUUID() };
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      return await execute(mutation, { input });
    } catch (error) {
      if (error.code && !UNKNOWN_OUTCOME.has(error.code)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt));
  }
  throw new Error("the command's outcome is still unknown");
};

// Yields the `data` of each event (server-sent events; WebSocket with graphql-transport-ws works too).
async function* subscribe(query, variables) {
  const response = await post("text/event-stream", query, variables);
  let text = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: {")) yield JSON.parse(line.slice(6)).data;
    }
  }
}

const email = `ada-${crypto.randomUUID()}@example.com`;
const { createUser: created } = await command(CREATE, { name: "Ada", email });
console.log("created", created.version);

// minVersion: the version just written or a newer one, never older data.
const { user } = await execute(READ, { id: created.id, version: created.version });
console.log("read", user.name, user.version);

const { createUser: refused } = await command(CREATE, { name: "Ada", email });
console.log("refused", refused.errors[0].code);

// The present state first, then every version once and in order.
for await (const { userChanged: changed } of subscribe(WATCH, { id: created.id })) {
  console.log("changed", changed.name, changed.version);
  if (changed.version === 3) break;
  await command(RENAME, { userId: created.id, name: `Ada ${changed.version + 1}` });
}
