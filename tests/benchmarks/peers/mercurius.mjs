// Mercurius on Fastify, its compiler on from a text's second time, nothing logged.
import Fastify from "fastify";
import mercurius from "mercurius";
import { resolvers, typeDefs } from "./schema.mjs";
import { address, reading, writing } from "./settings.mjs";

const app = Fastify({ logger: false });
app.register(mercurius, { schema: typeDefs, resolvers: resolvers(reading, writing), jit: 1 });
await app.listen(address);
