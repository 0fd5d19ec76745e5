// Apollo Server on Fastify, which took half the CPU of its own standalone server; nothing logged or reported.
import { ApolloServer } from "@apollo/server";
import integration, { fastifyApolloDrainPlugin } from "@as-integrations/fastify";
import Fastify from "fastify";
import { resolvers, typeDefs } from "./schema.mjs";
import { address, reading, writing } from "./settings.mjs";

const app = Fastify({ logger: false });
const server = new ApolloServer({
  typeDefs,
  resolvers: resolvers(reading, writing),
  plugins: [fastifyApolloDrainPlugin(app)],
});
await server.start();
await app.register(integration(server));
await app.listen(address);
