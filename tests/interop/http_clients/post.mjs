// post.mjs URL MEGABYTES COUNT: the statuses of so many fetches at once, with bodies of so many megabytes.
const [url, megabytes, count] = process.argv.slice(2);
const body = new Uint8Array(Number(megabytes) * 1e6).fill(97);
const send = () =>
  fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body }).then(
    async (response) => [response.status, (await response.text()).length > 0],
    (failure) => [String(failure.cause ?? failure), false],
  );
console.log(JSON.stringify(await Promise.all(Array.from({ length: Number(count) }, send))));
