// graphiql.mjs HOST:PORT CHROMIUM [PICTURE]: plays GraphiQL's example tabs as a newcomer does, and tells what was
// to be seen, and all that the browser asked for or complained of meanwhile. No other host has an address.
import { complaints, launch, observe, origins, workers } from "./browser.mjs";
import "./deadline.mjs";

const [address, executablePath, picture] = process.argv.slice(2);

const open = async (context) => {
  const page = await context.newPage();
  const response = await page.goto(`http://${address}/graphql`);
  // GraphiQL shows its play button before it has editors to read from and to write to.
  for (const part of ["query-editor", "response"]) await page.locator(`.graphiql-${part} .view-line`).first().waitFor();
  return { page, headers: response.headers() };
};

const play = async (page, tab) => {
  await page.getByRole("tab", { name: tab }).click();
  await page.getByRole("button", { name: "Execute query" }).click();
};

// Monaco lays lines out by their position, in any order in the document, and with hard spaces.
const shownOnceItHas = ([field, version]) => {
  const top = (line) => Number.parseInt(line.style.top, 10);
  const lines = [...document.querySelectorAll(".graphiql-response .view-line")].sort((a, b) => top(a) - top(b));
  const text = lines.map((line) => line.textContent).join("").replaceAll("\u00a0", " ");
  try {
    const value = JSON.parse(text).data[field];
    return value.version === version && value;
  } catch {
    return false; // not there yet, or not all of it
  }
};

const shown = async (page, field, version) => {
  const value = await page.waitForFunction(shownOnceItHas, [field, version]);
  return value.jsonValue();
};

const browser = await launch(executablePath);
const context = await browser.newContext({ viewport: { width: 1400, height: 1000 } });
context.on("page", observe);

const { page, headers } = await open(context);
await play(page, "CreateUser");
const created = await shown(page, "createUser", 1);
await play(page, "ReadUser");
const read = await shown(page, "user", 1);
await play(page, "WatchUser");
const watched = [await shown(page, "userChanged", 1)];

const second = await open(context);
await play(second.page, "PlaceOrder");
const placed = await shown(second.page, "placeOrder", 2);
watched.push(await shown(page, "userChanged", 2));

await page.getByRole("button", { name: "Stop query" }).click();
await page.getByRole("button", { name: "Execute query" }).waitFor();
await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
await page.getByRole("link", { name: "Mutation", exact: true }).click();
await page.getByText("The mutations. Each is one command").waitFor();
while (workers.size < 3) await page.waitForTimeout(50);
if (picture) await page.screenshot({ path: picture });

// Last, what it looks like when a page asks another host: it may not, and we are told so.
const heard = [...complaints];
const asked = [...origins];
await page.evaluate(() => fetch("http://elsewhere.example/").catch(() => {}));
const forbidden = complaints.slice(heard.length);
await browser.close();
console.log(
  JSON.stringify({
    headers, created, read, watched, placed, workers: [...workers], origins: asked, complaints: heard, forbidden,
  }),
);
