// Apollo Server as its own standalone server serves it, which is its least overhead; nothing logged or reported.
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { resolvers, typeDefs } from "./schema.mjs";
import { address, reading, writing } from "./settings.mjs";

const server = new ApolloServer({ typeDefs, resolvers: resolvers(reading, writing) });
await startStandaloneServer(server, { listen: address });
