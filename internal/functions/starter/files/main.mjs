// A function: reads a payload, says how far it is, prints its result.
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const { LONGSHORE_PAYLOAD, LONGSHORE_CONTROL, LONGSHORE_OUT } = process.env;
const { name = "world" } = JSON.parse(readFileSync(LONGSHORE_PAYLOAD, "utf8"));

// What is written to stderr is the job's log.
console.error(`greeting ${name}`);

// Lines of JSON in this file tell progress and more (docs/functions.md).
appendFileSync(LONGSHORE_CONTROL, JSON.stringify({ progress: { done: 1, total: 1, note: "greeted" } }) + "\n");

// Files in LONGSHORE_OUT become the job's outputs.
writeFileSync(join(LONGSHORE_OUT, "greeting.txt"), `Hello, ${name}!\n`);

// One JSON value on stdout is the result. Exit 65 fails for good, any other but 0 is retried.
console.log(JSON.stringify({ greeting: `Hello, ${name}!` }));
