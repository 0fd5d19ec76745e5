// status.mjs HOST:PORT CHROMIUM [PICTURE]: looks at the status page as whoever is on call does, on a desk in the
// light and on a phone in the dark, while somebody creates a user.
import { complaints, launch, observe, origins } from "./browser.mjs";
import "./deadline.mjs";

const [address, executablePath, picture] = process.argv.slice(2);
const browser = await launch(executablePath);

const open = async (options) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  observe(page);
  const response = await page.goto(`http://${address}/`);
  return { page, headers: response.headers() };
};

const flows = (page) => page.getByText("Everything flows.").waitFor();
const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const overflows = (page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth);

const desk = await open({ viewport: { width: 1250, height: 860 }, colorScheme: "light" });
await flows(desk.page);
await fetch(`http://${address}/graphql`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ query: 'mutation { createUser(input: {name: "Grace", email: "grace@example.com"}) { id } }' }),
});
const event = desk.page.locator("#events li", { hasText: "UserCreated" });
await event.getByText("shown").waitFor();
const told = await event.first().innerText();
const rows = await desk.page.locator("#partitions tr").count();
const text = await desk.page.evaluate(() => document.body.innerText);
const light = { ground: await ground(desk.page), overflows: await overflows(desk.page) };
if (picture) await desk.page.screenshot({ path: picture });

const phone = await open({ viewport: { width: 360, height: 740 }, colorScheme: "dark" });
await flows(phone.page);
const dark = { ground: await ground(phone.page), overflows: await overflows(phone.page) };

await browser.close();
console.log(JSON.stringify({ told, rows, text, light, dark, headers: desk.headers, origins: [...origins], complaints }));
