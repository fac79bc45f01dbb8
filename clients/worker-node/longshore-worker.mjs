// Runs jobs of Longshore in this process, over HTTP: docs/workers.md. Node 18 and later, nothing else.
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { constants, hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker as Thread, parentPort, workerData } from "node:worker_threads";

const KEEP = 56 << 10; // bytes of lines that wait; a request may have 128 KiB
const here = new URL(import.meta.url), mine = workerData?.longshoreWorker;
const bytes = (value) => Buffer.byteLength(JSON.stringify(value));
const clean = (text, most) => Buffer.from(String(text)).subarray(0, most - 3).toString();

/** Ends the job: another attempt would not help. */
export class Fail extends Error {}
/** Somebody else is to run the job; it consumes no attempt. */
export class Release extends Error {}
/** Runs the job again after so many milliseconds; it consumes no attempt. */
export class RetryIn extends Error {
  constructor(ms) { super(`again in ${ms} ms`); this.ms = ms; }
}

class Refused extends Error {
  constructor(status, problem) {
    const wrong = (problem.errors ?? []).map((one) => `${one.pointer} ${one.detail}`);
    const detail = [problem.detail ?? `HTTP ${status}`, ...wrong].join("; ");
    super(`${problem.code ?? "HTTP"} (${status}): ${detail}`);
    Object.assign(this, { status, code: problem.code, detail });
  }
  get passes() { return this.status >= 500 || this.status === 408 || this.status === 429; }
}

async function open(api, method, path, { json, body = json && JSON.stringify(json), headers, signal }) {
  const head = { "User-Agent": "longshore-worker", ...(json && { "Content-Type": "application/json" }), ...headers };
  if (api.token) head.Authorization = `Bearer ${api.token}`;
  // A redirect is an error: the token is for this host.
  const how = { method, body, headers: head, signal, redirect: "manual", duplex: "half" };
  const answer = await fetch(api.url + path, how);
  if (answer.ok) return answer;
  throw new Refused(answer.status, await answer.json().catch(() => null) ?? {});
}

// send makes a request of the number of each try, and sends again what may pass.
async function send(api, method, path, make, { timeout = 40_000, patience = 60_000 } = {}) {
  for (let n = 1, begun = performance.now(); ; n++) {
    const abort = new AbortController(), timer = setTimeout(() => abort.abort(), timeout);
    try {
      const text = await (await open(api, method, path, { ...make(n), signal: abort.signal })).text();
      const told = text ? JSON.parse(text) : {};
      const problem = told.jobs?.find((one) => one.problem?.status >= 500)?.problem;
      if (problem) throw new Refused(problem.status, problem);
      return told;
    } catch (e) {
      if (e.passes === false || performance.now() - begun > patience) throw e;
    } finally {
      clearTimeout(timer);
    }
    await sleep(Math.min(5000, 200 * 2 ** (n - 1)) * (0.5 + Math.random() / 2));
  }
}

class Job {
  #say; #api; #abort = new AbortController();
  constructor(told, api, say) {
    const { id, claim, type, attempt, payload, input: inputInfo, after = [] } = told;
    Object.assign(this, { id, claim, type, attempt, payload, inputInfo, after, told, outputs: new Map() });
    this.#api = api;
    this.#say = say;
  }
  /** An AbortSignal; its reason is canceled, timeout, drain or lost. */
  get stop() { return this.#abort.signal; }
  halt(reason) { this.#abort.abort(reason); this.onHalt?.(reason); }
  log(line) { this.#say({ line: clean(line, 4096) }); }
  progress(done, total = 0, note = "") {
    this.#say({ progress: { done: Math.trunc(done), total: Math.trunc(total), note: clean(note, 200) } });
  }
  /** The input's bytes, a ReadableStream; one that is cut is an error, not an end. */
  async input() {
    const answer = await open(this.#api, "GET", `/v1/jobs/${this.id}/claim/input`, {
      headers: { "Longshore-Claim": this.claim, "Accept-Encoding": "identity" } });
    return answer.body;
  }
  /** source: bytes, the path of a file, or a stream, which goes into a file first, so that it can be sent again. */
  async output(name, source, type) {
    const headers = { "Longshore-Claim": this.claim, ...(type && { "Content-Type": type }) };
    const again = typeof source === "string" || ArrayBuffer.isView(source);
    const folder = again ? null : await mkdtemp(join(tmpdir(), "longshore-"));
    try {
      const path = folder ? join(folder, "output") : typeof source === "string" ? source : null;
      if (folder) await pipeline(source, createWriteStream(path));
      const at = `/v1/jobs/${this.id}/claim/outputs/${encodeURIComponent(name)}`;
      const made = await send(this.#api, "PUT", at, () => ({ headers, body: path ? createReadStream(path) : source }),
        { timeout: 3_600_000 });
      this.outputs.set(name, made.size);
    } finally {
      if (folder) await rm(folder, { recursive: true });
    }
  }
}

async function outcome(handler, job) {
  try {
    const result = await handler(job) ?? null;
    bytes(result); // what is no JSON is the handler's error
    return { result, outputs: [...job.outputs].map(([name, size]) => ({ name, size })) };
  } catch (e) {
    if (e instanceof Fail) return { fail: { message: clean(e.message, 8000) } };
    if (e instanceof RetryIn) return { retry_in: `${Math.max(1, Math.trunc(e.ms))}ms` };
    if (e instanceof Release) return { release: true };
    console.error(`job ${job.id} (${job.type}): attempt ${job.attempt} failed:`, e);
    return { error: { message: clean(e?.message ?? e, 8000) } };
  }
}

// renew is the thread that keeps leases: a handler may hold the event loop for minutes.
async function renew({ api, worker }) {
  const jobs = new Map(), tell = (claim, what) => parentPort.postMessage({ claim, ...what });
  let news = false, wake, parked, cutter, pause = 200;
  const drop = (j, upto) => {
    for (; j.from < upto && j.lines.length; j.from++) j.size -= bytes(j.lines.shift()) + 1;
  };
  parentPort.on("message", ({ id, claim, progress, line, rest, gone }) => {
    if (gone) return void jobs.delete(claim);
    const j = jobs.get(claim) ?? { id, claim, from: 1, lines: [], size: 0 };
    if (rest) return tell(claim, { rest: { from: j.from, lines: j.lines } });
    jobs.set(claim, j);
    if (progress) j.progress = progress;
    if (line !== undefined) j.size += bytes(line) + 1, j.lines.push(line);
    while (j.size > KEEP || j.lines.length > 1000) drop(j, j.from + 1);
    news = true;
    wake?.();
    cutter ??= setTimeout(() => { cutter = null; if (news) parked?.abort(); }, 300); // it knows nothing of what is new
  });
  for (;;) {
    news = false;
    let room = KEEP;
    const sent = [...jobs.values()].slice(0, 100).map((j) => {
      const n = room >= j.size ? j.lines.length : 0;
      if (n) room -= j.size;
      if (n < j.lines.length) news = true;
      return { j, upto: j.from + n, progress: j.progress, ask: { id: j.id, claim: j.claim, progress: j.progress,
        log: n ? { from: j.from, lines: j.lines.slice(0, n) } : undefined } };
    });
    if (!sent.length) { await new Promise((resolve) => { wake = resolve; }); continue; }
    parked = new AbortController();
    const timer = setTimeout(() => parked.abort(), 15_000);
    let told = [];
    try {
      const json = { worker, wait: "8s", jobs: sent.map((one) => one.ask) };
      told = (await (await open(api, "POST", "/v1/claims/renew", { json, signal: parked.signal })).json()).jobs;
      pause = 200;
    } catch (e) {
      if (e.passes === false) told = sent.map(() => ({})); // it dislikes what was said: drop that
      if (!news || told.length) await sleep(pause), pause = Math.min(5000, pause * 2);
    }
    clearTimeout(timer);
    told.forEach(({ stop }, i) => {
      const { j, upto, progress } = sent[i];
      drop(j, upto);
      if (j.progress === progress) delete j.progress;
      if (stop) tell(j.claim, { stop });
      if (stop && stop !== "drain") jobs.delete(j.claim);
    });
    if (told.some((one) => one.stop)) await sleep(pause);
  }
}

// runJob runs a handler in a thread of its own.
async function runJob({ api, told, module }) {
  const job = new Job(told, api, (message) => parentPort.postMessage(message));
  parentPort.on("message", (reason) => job.halt(reason));
  const end = await outcome(async () => (await import(module)).default(job), job);
  parentPort.postMessage({ end });
}

export class Worker {
  #api; #ask; #slots; #grace; #name = `${hostname().slice(0, 60)}:${process.pid}:${randomBytes(4).toString("hex")}`;
  #handlers = new Map(); #jobs = new Map(); #keeper; #stopped = 0; #failure; #freed;

  /** types: names or globs to ask for, instead of the handlers' names. grace is in milliseconds. */
  constructor({ url = process.env.LONGSHORE_URL, token = process.env.LONGSHORE_TOKEN, types, queues, slots = 1,
    grace = 20_000 } = {}) {
    this.#api = { url: new URL(url).href.replace(/\/+$/, ""), token };
    this.#ask = { types, queues, wait: "25s", worker: this.#name };
    [this.#slots, this.#grace] = [Math.min(slots, 100), grace];
  }
  /** handler is a function of the job or, as a URL, a module whose default export is one: that runs in a thread of its
   * own, which a stop ends. */
  on(type, handler) {
    this.#handlers.set(type, handler);
    return this;
  }
  /** Takes no more jobs; run ends once those that there are have ended, or the grace is over. */
  stop() {
    if (this.#stopped) return;
    this.#stopped = performance.now();
    this.#freed?.();
    void this.#try("stop", { worker: this.#name }, 10_000);
  }
  /** Runs jobs until stop, SIGTERM or SIGINT; a second signal ends the process at once. */
  async run() {
    const signal = (name) => { if (this.#stopped) process.exit(128 + constants.signals[name]); this.stop(); };
    for (const name of ["SIGTERM", "SIGINT"]) process.on(name, signal);
    this.#keep();
    let claims = this.#claims().then(() => { claims = null; });
    const more = () => (claims || this.#jobs.size) && performance.now() < this.#stopped + this.#grace;
    while (!this.#stopped || more()) await sleep(50);
    const left = [...this.#jobs.values()], until = performance.now() + 2000;
    for (const job of left) job.halt("drain");
    while (this.#jobs.size && performance.now() < until) await sleep(20);
    for (const job of left) job.kill?.();
    const released = Promise.all(left.map((job) => this.#finish(job, { release: true })));
    await Promise.race([sleep(5000, null, { ref: false }), released]);
    const keeper = this.#keeper;
    this.#keeper = null;
    await keeper.terminate();
    for (const name of ["SIGTERM", "SIGINT"]) process.off(name, signal);
    if (this.#failure) throw this.#failure;
  }
  async #try(what, json, patience) {
    try {
      return await send(this.#api, "POST", `/v1/claims/${what}`, () => ({ json }), { patience });
    } catch (e) {
      console.error(`longshore: ${what}: ${e.message}`);
      return e;
    }
  }
  async #claims() {
    while (!this.#stopped) {
      const n = this.#slots - this.#jobs.size;
      if (n <= 0) { await new Promise((resolve) => { this.#freed = resolve; }); continue; }
      const types = this.#ask.types ?? [...this.#handlers.keys()], key = randomBytes(16).toString("base64url");
      const json = { ...this.#ask, types, n, key };
      let asked, told;
      try {
        told = await send(this.#api, "POST", "/v1/claims", (again) => {
          asked = performance.now();
          return { json: { ...json, try: again } };
        });
      } catch (e) {
        if (e.passes === false && e.code !== "lost") { this.#failure = e; return this.stop(); }
        console.error(`longshore: claim: ${e.message}`);
        continue;
      }
      for (const one of told.jobs ?? []) {
        const job = new Job(one, this.#api, (message) => this.#say(job, message));
        this.#jobs.set(job.claim, job);
        const left = asked + one.timeout_ms - performance.now();
        job.timer = setTimeout(() => job.halt("timeout"), Math.min(2 ** 31 - 1, left));
        this.#say(job, {});
        void this.#run(job).then((end) => this.#finish(job, end));
      }
    }
  }
  #say(job, message) {
    if (message.line !== undefined) job.spoke = true;
    if (this.#jobs.has(job.claim)) this.#keeper?.postMessage({ id: job.id, claim: job.claim, ...message });
  }
  #keep() {
    const workerData = { longshoreWorker: renew.name, api: this.#api, worker: this.#name };
    const keeper = this.#keeper = new Thread(here, { workerData });
    keeper.on("message", ({ claim, stop, rest }) => {
      const job = this.#jobs.get(claim);
      if (rest) job?.onRest?.(rest);
      else if (stop === "drain") this.stop();
      else job?.halt(stop);
    });
    keeper.on("error", (e) => console.error("longshore: the thread that keeps leases has ended, another starts:", e));
    keeper.on("exit", () => {
      if (this.#keeper !== keeper) return;
      this.#keep();
      for (const job of this.#jobs.values()) this.#say(job, {});
    });
  }
  async #run(job) {
    const handler = this.#handlers.get(job.type);
    if (!handler) return { release: true };
    if (!(handler instanceof URL)) return outcome(handler, job);
    const data = { longshoreWorker: runJob.name, api: this.#api, told: job.told, module: handler.href };
    const thread = new Thread(here, { workerData: data });
    job.kill = () => thread.terminate();
    job.onHalt = (reason) => reason === "drain" ? thread.postMessage(reason) : job.kill();
    try {
      return await new Promise((resolve) => {
        const crash = (message, code = "crashed") => resolve({ error: { message, code } });
        thread.on("message", (message) => message.end ? resolve(message.end) : this.#say(job, message));
        thread.on("error", (e) => crash(clean(e?.message ?? e, 8000),
          e?.code === "ERR_WORKER_OUT_OF_MEMORY" ? "out_of_memory" : "crashed"));
        thread.on("exit", (code) => crash(`the handler's thread has ended: ${code}`));
        if (job.stop.aborted) job.onHalt(job.stop.reason);
      });
    } finally {
      await thread.terminate();
    }
  }
  async #finish(job, end) {
    if (job.over) return;
    job.over = true;
    clearTimeout(job.timer);
    const { id, claim, stop: { reason } } = job;
    if (reason === "canceled") end = { error: { message: reason } };
    if (reason === "drain" && end.error) end = { release: true };
    if (reason !== "timeout" && reason !== "lost") {
      const log = job.spoke ? await new Promise((resolve) => {
        setTimeout(resolve, 5000).unref();
        job.onRest = resolve;
        this.#say(job, { rest: true });
      }) : undefined;
      const said = { id, claim, ...end, log: log?.lines.length ? log : undefined };
      const told = await this.#try("finish", { jobs: [said] });
      const wrong = told.jobs?.[0].problem, refused = wrong ? new Refused(wrong.status, wrong) : told;
      if (refused instanceof Refused && !["lost", "already_finished"].includes(refused.code) && !end.error) {
        await this.#try("finish", { jobs: [{ id, claim, error: { message: refused.detail } }] });
      }
    }
    this.#say(job, { gone: true });
    this.#jobs.delete(claim);
    this.#freed?.();
  }
}

if (mine) void { renew, runJob }[mine](workerData);
