// The tabs of the first visit, in the order in which to run them. tests/api/graphiql/test_graphiql.py holds
// each file against schema.graphql.
import completeOrder from "./examples/complete_order.graphql";
import completeOrderVariables from "./examples/complete_order.json";
import createUser from "./examples/create_user.graphql";
import createUserVariables from "./examples/create_user.json";
import placeOrder from "./examples/place_order.graphql";
import placeOrderVariables from "./examples/place_order.json";
import readUser from "./examples/read_user.graphql";
import readUserVariables from "./examples/read_user.json";
import watchUser from "./examples/watch_user.graphql";
import watchUserVariables from "./examples/watch_user.json";

const tab = (query, variables) => ({ query, variables: JSON.stringify(variables, null, 2) });

export const examples = [
  tab(createUser, createUserVariables),
  tab(readUser, readUserVariables),
  tab(placeOrder, placeOrderVariables),
  tab(completeOrder, completeOrderVariables),
  tab(watchUser, watchUserVariables),
];
