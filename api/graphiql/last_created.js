// Lets the examples run one after another without copying an id: "lastUser" and "lastOrder" as the
// value of a variable become the id that createUser and placeOrder returned last in this browser.
import { storage } from "./storage.js";

const SOURCES = {
  lastUser: { field: "createUser", tab: "CreateUser" },
  lastOrder: { field: "placeOrder", tab: "PlaceOrder" },
};

const resolved = (variables, missing) =>
  variables &&
  JSON.parse(JSON.stringify(variables), (_key, value) => {
    if (!Object.hasOwn(SOURCES, value)) return value;
    const id = storage.getItem(value);
    if (id === null) missing.push(value);
    return id;
  });

const remember = (data) => {
  for (const [placeholder, { field }] of Object.entries(SOURCES)) {
    const id = data?.[field]?.id;
    if (id) storage.setItem(placeholder, id);
  }
};

const notYet = (placeholder) => ({
  message: `"${placeholder}" has no id yet: run ${SOURCES[placeholder].tab} first, or replace it by an id.`,
});

export const rememberingIds = (fetcher) => async (params, options) => {
  const missing = [];
  const variables = resolved(params.variables, missing);
  if (missing.length > 0) return { errors: missing.map(notYet) };
  const response = await fetcher({ ...params, variables }, options);
  remember(response.data);
  return response;
};
