// What Tandem's schema says of what is measured, and the resolvers that both node peers share.
import { cursor } from "./reading.mjs";

export const typeDefs = `
  scalar DateTime
  scalar EmailAddress
  scalar Money

  type Query {
    user(id: ID!, minVersion: Int): User
    users(first: Int! = 20, after: String): UserConnection!
  }

  type User {
    id: ID!
    name: String!
    email: EmailAddress!
    createdAt: DateTime!
    updatedAt: DateTime!
    version: Int!
    orderCount: Int!
    lifetimeValue: Money!
  }

  type UserConnection {
    edges: [UserEdge!]!
    nodes: [User!]!
    pageInfo: PageInfo!
  }

  type UserEdge {
    cursor: String!
    node: User!
  }

  type PageInfo {
    hasNextPage: Boolean!
    hasPreviousPage: Boolean!
    startCursor: String
    endCursor: String
  }

  type Mutation {
    createUser(input: CreateUserInput!): CreateUserPayload
    placeOrder(input: PlaceOrderInput!): OrderPayload
    completeOrder(input: CompleteOrderInput!): OrderPayload
  }

  type Subscription {
    userChanged(id: ID!): User!
  }

  input PlaceOrderInput {
    userId: ID!
    total: Money!
  }

  input CompleteOrderInput {
    orderId: ID!
  }

  type OrderPayload {
    id: ID
    version: Int
  }

  input CreateUserInput {
    name: String!
    email: EmailAddress!
  }

  type CreateUserPayload {
    id: ID
    version: Int
  }
`;

export const resolvers = (reading, writing) => ({
  Query: {
    user: (_, { id }) => reading.user(id),
    users: (_, { first, after }) => reading.users(first, after),
  },
  UserConnection: {
    edges: ({ nodes }) => nodes.map((node) => ({ cursor: cursor(node.id), node })),
    pageInfo: ({ nodes, hasNextPage, hasPreviousPage }) => ({
      hasNextPage,
      hasPreviousPage,
      startCursor: nodes.length ? cursor(nodes[0].id) : null,
      endCursor: nodes.length ? cursor(nodes.at(-1).id) : null,
    }),
  },
  Mutation: {
    createUser: (_, { input }) => writing.createUser(input),
    placeOrder: (_, { input }) => writing.placeOrder(input),
    completeOrder: (_, { input }) => writing.completeOrder(input),
  },
  Subscription: {
    userChanged: {
      subscribe: async function* (_, { id }, { pubsub }) {
        yield { userChanged: await reading.user(id) };
        yield* await pubsub.subscribe(id);
      },
    },
  },
});
