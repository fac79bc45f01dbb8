import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Fail, Release, RetryIn, Worker } from "./longshore-worker.mjs";

const worker = new Worker({ slots: 4, grace: Number(process.env.GRACE ?? 20) * 1000 });
const appears = async (path) => {
  while (!existsSync(path)) await sleep(20);
};

worker.on("js.result", (job) => ({ twice: job.payload.n * 2, attempt: job.attempt }));
worker.on("js.files", async (job) => {
  let size = 0, lines = 0;
  for await (const part of await job.input()) {
    size += part.length;
    lines += part.filter((byte) => byte === 10).length;
  }
  await job.output("count.txt", Buffer.from(`${lines} ${size}`));
  await job.output("copy.bin", await job.input());
  writeFileSync("part.tmp", "part");
  await job.output("part.txt", "part.tmp", "text/x-part");
});
worker.on("js.talks", async (job) => {
  job.log("one");
  job.log("two");
  job.progress(3, 10, "page 3");
  await appears(job.payload.until);
  job.log("three");
  return "told";
});
worker.on("js.retries", (job) => {
  if (job.attempt === 1) throw new Error("not yet");
  return job.attempt;
});
worker.on("js.fails", () => {
  throw new Fail("never");
});
worker.on("js.later", (job) => {
  if (existsSync(job.payload.flag)) return job.attempt;
  writeFileSync(job.payload.flag, "");
  throw job.payload.how === "in" ? new RetryIn(100) : new Release();
});
worker.on("js.busy", new URL("./busy.mjs", import.meta.url));
worker.on("js.apart", new URL("./apart.mjs", import.meta.url));
worker.on("js.waits", async (job) => {
  job.progress(1);
  await new Promise((resolve) => job.stop.addEventListener("abort", resolve));
  writeFileSync(job.payload.told, job.stop.reason);
  throw new Error("stopped");
});
worker.on("js.slow", async (job) => {
  appendFileSync(`${job.payload.until}.runs`, "x");
  job.progress(1);
  await appears(job.payload.until);
  return "whole";
});

worker.on("js.holds", (job) => {
  appendFileSync("holds.runs", "x");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, job.payload.seconds * 1000); // nothing else runs here
  return job.attempt;
});
worker.on("js.odd", (job) => {
  if (job.payload.how === "large") return "x".repeat(70_000);
  if (job.payload.how === "noJSON") return { n: 1n };
  for (let n = 0; n <= 5000; n++) job.log(`line ${n}`);
});

console.log("works");
await worker.run();
console.log("ended");
