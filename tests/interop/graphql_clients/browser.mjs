// A browser for which no host has an address but this one; what it asks for and complains of is kept.
import { chromium } from "playwright-core";

const STEP_MS = 20_000;

export const origins = new Set();
export const workers = new Set();
export const complaints = [];

export const launch = (executablePath) =>
  chromium.launch({
    executablePath,
    timeout: STEP_MS,
    chromiumSandbox: false, // it cannot be had by root, and all pages are ours
    args: [
      "--disable-gpu",
      "--disable-quic",
      "--disable-sync",
      "--disable-background-networking",
      "--disable-component-update",
      "--no-first-run",
      "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ],
  });

export const observe = (page) => {
  page.setDefaultTimeout(STEP_MS);
  page.on("request", (request) => origins.add(new URL(request.url()).origin));
  page.on("websocket", (socket) => origins.add(new URL(socket.url()).origin));
  page.on("worker", (worker) => workers.add(/(\w+)-\w+\.js$/.exec(worker.url())[1]));
  page.on("requestfailed", (request) => complaints.push(`${request.failure()?.errorText}: ${request.url()}`));
  page.on("console", (line) => line.type() === "error" && complaints.push(`console: ${line.text()}`));
  page.on("pageerror", (error) => complaints.push(`page: ${error.stack}`));
};

process.on("uncaughtException", (failure) => {
  console.error(failure, complaints);
  process.exit(1);
});
