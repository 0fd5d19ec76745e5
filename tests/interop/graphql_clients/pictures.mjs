// pictures.mjs HOST:PORT CHROMIUM FOLDER light|dark: takes the README's pictures of GraphiQL and of the status page.
// Prints the files and their sizes in bytes.
import { statSync } from "node:fs";
import { complaints, launch, observe } from "./browser.mjs";
import "./deadline.mjs";

const [address, executablePath, folder, colorScheme] = process.argv.slice(2);
const browser = await launch(executablePath);
const files = {};

const open = async (path, viewport) => {
  const context = await browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  observe(page);
  await page.goto(`http://${address}${path}`);
  return page;
};

const save = async (page, name) => {
  const path = `${folder}/${name}.png`;
  await page.screenshot({ path });
  files[`${name}.png`] = statSync(path).size;
};

const execute = async (query, input) => {
  const response = await fetch(`http://${address}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables: { input } }),
  });
  return Object.values((await response.json()).data)[0].id;
};

// The example's user is erased afterwards, so that it can be created once more.
const graphiql = async () => {
  const page = await open("/graphql", { width: 1060, height: 560 });
  await page.locator(".graphiql-query-editor .view-line").first().waitFor();
  await page.locator(".graphiql-response .view-line").first().waitFor();
  await page.getByRole("tab", { name: "CreateUser" }).click();
  await page.getByRole("button", { name: "Execute query" }).click();
  await page.locator(".graphiql-response", { hasText: "createUser" }).waitFor();
  await page.waitForTimeout(500); // Monaco colours its text after it has laid it out
  await save(page, `graphiql-${colorScheme}`);
  const userId = await execute("query { userByEmail(email: \"grace@example.com\") { id } }");
  await execute("mutation($input: EraseUserInput!) { eraseUser(input: $input) { id } }", { userId });
};

// A user with an order, one after another, for as long as the page takes to show figures.
const load = async (name, seconds) => {
  const end = Date.now() + 1000 * seconds;
  for (let turn = 0; Date.now() < end; turn++) {
    const input = { name: "Grace", email: `${name}${turn}@example.com` };
    const userId = await execute("mutation($input: CreateUserInput!) { createUser(input: $input) { id } }", input);
    const order = { userId, total: "12.50" };
    const orderId = await execute("mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { id } }", order);
    await execute("mutation($input: CompleteOrderInput!) { completeOrder(input: $input) { id } }", { orderId });
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
};

const statusPage = async () => {
  const page = await open("/", { width: 1250, height: 520 });
  await page.locator("#events").waitFor();
  const loading = load(colorScheme, 5);
  await page.waitForFunction(() => {
    const values = [...document.querySelectorAll("[data-value=written], [data-value=applied], [data-value=operations]")];
    return values.length === 3 && values.every((value) => Number.parseFloat(value.textContent) > 0);
  });
  await page.locator("#events li", { hasText: "OrderCompleted" }).first().waitFor();
  await save(page, `status-${colorScheme}`);
  await loading;
};

await graphiql();
await statusPage();
await browser.close();
if (complaints.length) throw new Error(complaints.join("\n"));
console.log(JSON.stringify(files));
