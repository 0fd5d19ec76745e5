// Importing this bounds a program: what has not ended by then has hung, and says so.
const SECONDS = 200;

setTimeout(() => {
  console.error(`not done after ${SECONDS} s`);
  process.exit(1);
}, SECONDS * 1000).unref();
