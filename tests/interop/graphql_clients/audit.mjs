// audit.mjs URL: every audit of graphql-http, in order, and how it went.
import { auditServer } from "graphql-http";
import "./deadline.mjs";

const results = await auditServer({ url: process.argv[2] });
console.log(JSON.stringify(results.map(({ id, name, status, reason }) => ({ id, name, status, reason }))));
