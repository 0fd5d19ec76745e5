// Mercurius on Fastify, its compiler on from a text's second time, nothing logged. With WATCH it has subscriptions.
import Fastify from "fastify";
import mercurius from "mercurius";
import { resolvers, typeDefs } from "./schema.mjs";
import { address, emitted, reading, writing } from "./settings.mjs";

const app = Fastify({ logger: false });
const subscription = process.env.WATCH === "yes";
app.register(mercurius, { schema: typeDefs, resolvers: resolvers(reading, writing), jit: 1, subscription });
await app.ready();
// A change is read from Redis once, however many watch it.
if (subscription) {
  await emitted(async (id) => app.graphql.pubsub.publish({ topic: id, payload: { userChanged: await reading.user(id) } }));
}
await app.listen(address);
