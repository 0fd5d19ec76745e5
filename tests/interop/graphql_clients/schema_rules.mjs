// schema_rules.mjs FILE: what graphql-eslint's recommended rules for schemas find in that file.
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import plugin from "@graphql-eslint/eslint-plugin";
import { ESLint } from "eslint";
import { buildSchema } from "graphql";
import "./deadline.mjs";

const [file] = process.argv.slice(2);
const schema = buildSchema(readFileSync(file, "utf8"));
const implementing = (name) => schema.getImplementations(schema.getType(name)).objects.map((type) => type.name);

const exceptions = {
  // Answers and pages are nothing that a client could meet again; the users and orders in them are, and have
  // ids. A payload's own id is that of what was changed, and null if nothing was.
  suffixes: ["Payload", "Connection", "Edge"],
  // Nor is a page's place in its list, or a refusal. New refusals are found here by themselves.
  types: ["PageInfo", ...implementing("CommandError")],
};

const eslint = new ESLint({
  cwd: dirname(file),
  overrideConfigFile: true,
  overrideConfig: {
    files: ["**/*.graphql"],
    plugins: { "@graphql-eslint": plugin },
    languageOptions: { parser: plugin.parser, parserOptions: { graphQLConfig: { schema: file } } },
    rules: {
      ...plugin.configs["flat/schema-recommended"].rules,
      "@graphql-eslint/strict-id-in-types": ["error", { exceptions }],
    },
  },
});

const [{ messages }] = await eslint.lintFiles([file]);
console.log(JSON.stringify(messages.map(({ line, ruleId, message }) => `${line} ${ruleId ?? ""} ${message}`)));
