// status_outside.mjs HOST:PORT CHROMIUM WRONG RIGHT: opens the status page through a proxy, where it requires a token:
// without one, with a wrong one, and with one that permits reading. Reports whether the page was visible each time.
import { launch, observe, origins } from "./browser.mjs";
import "./deadline.mjs";

const [address, executablePath, wrong, right] = process.argv.slice(2);
const browser = await launch(executablePath);
const context = await browser.newContext({ extraHTTPHeaders: { "x-forwarded-for": "203.0.113.9" } });
const page = await context.newPage();
observe(page);

const visible = [];
const expectVerdict = async (sentence) => {
  await page.getByText(sentence).waitFor();
  visible.push(await page.locator("#flow").isVisible());
};
const submit = async (token) => {
  await page.locator("#token").fill(token);
  await page.getByRole("button", { name: "Show" }).click();
};

await page.goto(`http://${address}/`);
await expectVerdict("A token is required.");
await submit(wrong);
await expectVerdict("Invalid token.");
await submit(right);
await expectVerdict("All parts are working.");

await browser.close();
console.log(JSON.stringify({ visible, origins: [...origins] }));
