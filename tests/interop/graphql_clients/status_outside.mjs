// status_outside.mjs HOST:PORT CHROMIUM WRONG RIGHT: asks for the status page from behind a proxy, where it takes a
// token: none at first, then a wrong one, then one that may read. Tells what was to be seen each time.
import { launch, observe, origins } from "./browser.mjs";
import "./deadline.mjs";

const [address, executablePath, wrong, right] = process.argv.slice(2);
const browser = await launch(executablePath);
const context = await browser.newContext({ extraHTTPHeaders: { "x-forwarded-for": "203.0.113.9" } });
const page = await context.newPage();
observe(page);

const seen = [];
const look = async (sentence) => {
  await page.getByText(sentence).waitFor();
  seen.push(await page.locator("#flow").isVisible());
};
const enter = async (token) => {
  await page.locator("#token").fill(token);
  await page.getByRole("button", { name: "Show" }).click();
};

await page.goto(`http://${address}/`);
await look("Who is asking?");
await enter(wrong);
await look("This token does not do.");
await enter(right);
await look("Everything flows.");

await browser.close();
console.log(JSON.stringify({ seen, origins: [...origins] }));
