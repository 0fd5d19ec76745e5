// compressed.mjs URL QUERY: the Content-Encoding of a response that fetch has decoded, and the text that it got.
const [url, query] = process.argv.slice(2);
const headers = { "content-type": "application/json" };
const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query }) });
console.log(JSON.stringify([response.headers.get("content-encoding"), await response.text()]));
