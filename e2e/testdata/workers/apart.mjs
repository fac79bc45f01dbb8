import { buffer } from "node:stream/consumers";

export default async (job) => {
  job.log("from a child");
  await job.output("copy.bin", await buffer(await job.input()));
};
