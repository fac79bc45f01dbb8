import { writeFileSync } from "node:fs";

export default (job) => {
  let n = 0;
  for (const begun = Date.now(); ; ) {
    if (Date.now() - begun > n * 50) writeFileSync(job.payload.beats, String(++n));
  }
};
