// status.mjs HOST:PORT CHROMIUM [PICTURE]: opens the status page in light mode on a desktop and in dark mode on a
// phone while a user is created, then a page whose feed reports a rebuild and large numbers.
import { complaints, launch, observe, origins } from "./browser.mjs";
import "./deadline.mjs";

const [address, executablePath, picture] = process.argv.slice(2);
const DESKTOP = { viewport: { width: 1250, height: 860 }, colorScheme: "light" };
const PHONE = { viewport: { width: 360, height: 740 }, colorScheme: "dark" };
const browser = await launch(executablePath);

const open = async (options, frame) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  observe(page);
  if (frame) {
    const body = `event: next\ndata: ${JSON.stringify(frame)}\n\n`;
    await page.route("**/status/feed", (route) => route.fulfill({ contentType: "text/event-stream", body }));
  }
  const response = await page.goto(`http://${address}/`);
  return { page, headers: response.headers() };
};

const works = (page) => page.getByText("All parts are working.").waitFor();
const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const overflows = (page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth);

// The texts of values that are shown on more than one line.
const broken = (page) => page.evaluate(() => {
  const lines = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size;
  };
  const values = [...document.querySelectorAll("[data-value], #partitions td:not(:nth-child(2))")];
  return values.filter((value) => lines(value) > 1).map((value) => value.textContent);
});

// The labels of values for which no visible text of the page says what they mean.
const unexplained = (page) => page.evaluate(() => {
  const explained = (element) => element?.checkVisibility() && element.textContent.trim() !== "";
  const figures = [...document.querySelectorAll(".figure")]
    .filter((figure) => !explained(figure.parentElement.querySelector(".legend")));
  const terms = new Map([...document.querySelectorAll("dl.legend dt")].map((term) => [term.textContent.trim(), term.nextElementSibling]));
  const columns = [...document.querySelectorAll("thead th")].filter((column) => !explained(terms.get(column.textContent.trim())));
  return [...figures, ...columns].map((element) => element.textContent);
});

const desktop = await open(DESKTOP);
await works(desktop.page);
await fetch(`http://${address}/graphql`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ query: 'mutation { createUser(input: {name: "Grace", email: "grace@example.com"}) { id } }' }),
});
const event = desktop.page.locator("#events li", { hasText: "UserCreated" });
await event.getByText("visible").waitFor();
const line = await event.first().innerText();
const rows = await desktop.page.locator("#partitions tr").count();
const text = await desktop.page.evaluate(() => document.body.innerText);
const light = { ground: await ground(desktop.page), overflows: await overflows(desktop.page) };
const withoutLegend = await unexplained(desktop.page);
if (picture) await desktop.page.screenshot({ path: picture });

const phone = await open(PHONE);
await works(phone.page);
const dark = { ground: await ground(phone.page), overflows: await overflows(phone.page) };

const partition = { entries: 1234567, behind: 1234567, lag: 123.4, applied: 1, parked: 12345 };
const frame = {
  at: 1, problems: [], written: 1234567890, unpublished: 1234567, oldest: 123456, operations: 1234567, events: [],
  partitions: [
    { ...partition, number: 0, generation: "g1", building: true, rebuild: { done: 450000, expected: 1000000 } },
    { ...partition, number: 1, generation: null, building: true, rebuild: { done: 50000, expected: 1000000 } },
    { ...partition, number: 2, generation: null, building: true, rebuild: null },
    { ...partition, number: 3, generation: null, building: false, rebuild: null },
  ],
};
const rebuild = {};
for (const [name, options] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
  const { page } = await open(options, frame);
  await page.locator("#rebuild").waitFor();
  rebuild[name] = {
    text: await page.locator("#rebuild").innerText(),
    share: await page.locator("progress").evaluate((bar) => bar.position),
    models: (await page.locator("#partitions td:nth-child(2)").allInnerTexts()).map((text) => text.replaceAll("\u00a0", " ")),
    broken: await broken(page),
    overflows: await overflows(page),
  };
  if (picture) await page.screenshot({ path: picture.replace(".png", `-rebuild-${name}.png`), fullPage: true });
}

await browser.close();
console.log(JSON.stringify({
  line, rows, text, light, dark, withoutLegend, rebuild, headers: desktop.headers, origins: [...origins], complaints,
}));
