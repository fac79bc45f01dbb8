"""Runs jobs of Longshore in this process, over HTTP: docs/workers.md. Python 3.9 and later, nothing else."""
import http.client, io, itertools, json, logging, multiprocessing, os, queue, random, secrets, shutil  # noqa: E401
import signal, socket, subprocess, sys, tempfile, threading, time  # noqa: E401
from urllib.parse import quote, urlsplit

log, KEEP = logging.getLogger("longshore"), 56 << 10  # bytes of lines that wait; a request may have 128 KiB

class Fail(Exception): """Ends the job: another attempt would not help."""
class Release(Exception): """Somebody else is to run the job; it consumes no attempt."""
class RetryIn(Exception):
    """Runs the job again after so many seconds, or a timedelta; it consumes no attempt."""
    def __init__(self, after): self.seconds = getattr(after, "total_seconds", lambda: after)()
class Stop(threading.Event): reason = ""  # canceled, timeout, drain, lost
class Refused(Exception):
    def __init__(self, status, problem):
        wrong = [f"{e.get('pointer')} {e.get('detail')}" for e in problem.get("errors", ())]
        self.status, self.code = status, problem.get("code")
        self.detail = "; ".join([problem.get("detail") or f"HTTP {status}", *wrong])
        super().__init__(f"{self.code or 'HTTP'} ({status}): {self.detail}")

def clean(text, most): return str(text).encode("utf-8", "replace")[:most].decode("utf-8", "ignore")
def compact(value):
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")

class Api:
    def __init__(self, url, token): self.url, self.token = url.rstrip("/"), token
    def open(self, method, path, body=None, headers=(), timeout=40.0, opened=lambda connection: None):
        at = urlsplit(self.url)  # http.client follows no redirects: the token is for this host
        kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
        c = kind(at.netloc, timeout=timeout)
        head = {"Connection": "close", "Accept-Encoding": "identity", "User-Agent": "longshore-worker", **dict(headers)}
        if isinstance(body, dict): body, head["Content-Type"] = compact(body), "application/json"
        if self.token: head["Authorization"] = "Bearer " + self.token
        try:
            try: c.request(method, at.path + path, body, head)
            except (BrokenPipeError, ConnectionResetError): pass  # perhaps it has refused the rest, and said why
            opened(c)
            answer = c.getresponse()
            if answer.status < 300: return answer
            text = answer.read()
        except BaseException: c.close(); raise
        try: raise Refused(answer.status, dict(json.loads(text)))
        except (ValueError, TypeError): raise Refused(answer.status, {}) from None
    def send(self, method, path, body=None, headers=(), timeout=40.0, patience=60.0):
        """body may be a function of the number of the try. What may pass is sent again."""
        begun = time.monotonic()
        for n in itertools.count(1):
            try:
                with self.open(method, path, body(n) if callable(body) else body, headers, timeout) as answer:
                    text = answer.read()
                told = json.loads(text) if text else {}
                for problem in (one.get("problem") for one in told.get("jobs", ())):
                    if problem and problem["status"] >= 500: raise Refused(problem["status"], problem)
                return told
            except (OSError, http.client.HTTPException, ValueError, Refused) as e:
                passes = getattr(e, "status", 500) >= 500 or e.status in (408, 429)
                if not passes or time.monotonic() - begun > patience: raise
            time.sleep(min(5, 0.2 * 2 ** min(n - 1, 9)) * random.uniform(0.5, 1))

class Input(io.RawIOBase):
    """The bytes of an input. Where the connection breaks, the rest comes over another one."""
    def __init__(self, job): self.job, self.at, self.size, self.answer = job, 0, None, None
    def readable(self): return True
    def readinto(self, room):
        for n in range(9):
            try:
                if self.size == self.at: return 0
                if self.answer is None:
                    self.answer = self.job.api.open("GET", f"/v1/jobs/{self.job.id}/claim/input", headers={
                        "Longshore-Claim": self.job.claim, **({"Range": f"bytes={self.at}-"} if self.at else {})})
                    self.size = self.at + int(self.answer.headers["Content-Length"])
                got = self.answer.readinto(room)
                self.at += got
                if got or self.size == self.at: return got
            except (OSError, http.client.HTTPException, Refused) as e:
                if n == 8 or getattr(e, "status", 500) < 500: raise
            self.answer = None
            time.sleep(min(5, 0.2 * 2 ** n))
        raise OSError("the input breaks off again and again")

class Job:
    def __init__(self, told, api, say):
        self.told, self.api, self._say, self.stop, self.outputs = told, api, say, Stop(), {}
        self.id, self.claim, self.type, self.attempt = told["id"], told["claim"], told["type"], told["attempt"]
        self.payload, self.input_info, self.after = told["payload"], told.get("input"), told.get("after", [])
        self.ends, self.pipe, self.kill, self.over, self.rest = 0.0, None, None, False, None
    def input(self): return io.BufferedReader(Input(self), 256 << 10)
    def log(self, line): self._say({"line": clean(line, 4096)})
    def progress(self, done, total=0, note=""):
        self._say({"progress": {"done": int(done), "total": int(total), "note": clean(note, 200)}})
    def output(self, name, source, type=None):
        """source: bytes, a path, or a file that is open for reading."""
        stream = hasattr(source, "read")
        with tempfile.TemporaryFile() if stream else open(source, "rb") if isinstance(source, (str, os.PathLike)) else \
                io.BytesIO(source) as file:
            if stream: shutil.copyfileobj(source, file)  # so that it can be sent again
            head = {"Longshore-Claim": self.claim, "Content-Length": str(file.seek(0, 2))}
            path, again = f"/v1/jobs/{self.id}/claim/outputs/{quote(name, safe='')}", lambda n: (file.seek(0), file)[1]
            made = self.api.send("PUT", path, again, {**head, **({"Content-Type": type} if type else {})}, 120)
        self.outputs[name] = made["size"]
    def halt(self, reason):
        if not self.stop.is_set(): self.stop.reason = reason; self.stop.set()
        try:
            if self.kill and reason != "drain": self.kill()
            elif self.pipe: self.pipe.send(reason)
        except OSError: pass  # it has ended

def outcome(handler, job):
    try:
        result = handler(job)
        compact(result)  # what is no JSON is the handler's error
        return {"result": result, "outputs": [{"name": name, "size": size} for name, size in job.outputs.items()]}
    except Fail as e: return {"fail": {"message": clean(e, 8000)}}
    except RetryIn as e: return {"retry_in": f"{max(1, int(e.seconds * 1000))}ms"}
    except Release: return {"release": True}
    except BaseException as e:
        log.error("job %s (%s): attempt %d failed", job.id, job.type, job.attempt, exc_info=True)
        code = "out_of_memory" if isinstance(e, MemoryError) else "handler_error"
        return {"error": {"message": clean(f"{type(e).__name__}: {e}", 8000), "code": code}}

def child(handler, told, api, pipe, parents):
    """Runs a handler in a process of its own, which ends with its parent."""
    parents.close()
    for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, lambda *_: None)  # the parent sees to them
    lock = threading.Lock()
    def say(message):
        with lock: pipe.send(message)
    def listen():
        try: job.stop.reason = pipe.recv(); job.stop.set()
        except (EOFError, OSError): os._exit(1)
    job = Job(told, api, say)
    threading.Thread(target=listen, daemon=True).start()
    say({"end": outcome(handler, job)})

def renew():
    """The program that keeps leases: a process, since a handler may hold the interpreter's lock for minutes. It reads
    lines from its parent, says what it hears, and ends with it."""
    for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
    first, jobs, parked, parent, pause = json.loads(sys.stdin.readline()), {}, [], os.getppid(), 0.2
    api, lock, news = Api(first["url"], first["token"]), threading.Lock(), threading.Event()
    def tell(**what): os.write(1, json.dumps(what).encode() + b"\n")
    def drop(j, upto):
        while j["lines"] and j["from"] < upto: j["size"] -= len(compact(j["lines"].pop(0))) + 1; j["from"] += 1
    def read():
        for text in sys.stdin:
            said = json.loads(text)
            with lock:
                new = {"id": said["id"], "claim": said["claim"], "from": 1, "lines": [], "size": 2}
                j = jobs.setdefault(said["claim"], new)
                if "progress" in said: j["progress"] = said["progress"]
                if "line" in said: j["lines"].append(said["line"]); j["size"] += len(compact(said["line"])) + 1
                while j["size"] > KEEP or len(j["lines"]) > 1000: drop(j, j["from"] + 1)
                if "rest" in said: tell(claim=j["claim"], rest={"from": j["from"], "lines": j["lines"]})
                elif "drop" in said: del jobs[said["claim"]]
                else: news.set()
        os._exit(0)
    def cut():  # a request that is parked knows nothing of what is new
        while news.wait():
            time.sleep(0.3)
            try: news.is_set() and parked and parked[0].shutdown(socket.SHUT_RDWR)
            except (OSError, ValueError): pass
    for run in (read, cut): threading.Thread(target=run, daemon=True).start()
    while os.getppid() == parent:
        with lock:
            news.clear()
            room, asked, sent = KEEP, [], []
            for j in list(jobs.values())[:100]:
                asked.append({k: j[k] for k in ("id", "claim", "progress") if k in j})
                n = len(j["lines"]) if j["size"] <= room else 0
                if n: asked[-1]["log"] = {"from": j["from"], "lines": j["lines"][:n]}; room -= j["size"]
                sent.append((j, j.get("progress"), j["from"] + n))
            if any(upto < j["from"] + len(j["lines"]) for j, _, upto in sent): news.set()
        if not asked: news.wait(5); continue
        try:
            ask = {"worker": first["worker"], "wait": "8s", "jobs": asked}
            with api.open("POST", "/v1/claims/renew", ask, (), 15, lambda c: parked.insert(0, c.sock)) as answer:
                told = json.loads(answer.read())["jobs"]
        except Exception as e:
            told = [{}] * len(sent) if getattr(e, "status", 500) < 500 else []  # it dislikes what was said: drop that
            if not news.is_set() or told: time.sleep(pause); pause = min(5, pause * 2)
        else: pause = 0.2
        with lock:
            for (j, progress, upto), one in zip(sent, told):
                drop(j, upto)
                if j.get("progress") == progress: j.pop("progress", None)
                if "stop" in one: tell(claim=j["claim"], stop=one["stop"])
                if one.get("stop", "drain") != "drain": jobs.pop(j["claim"], None)
        if any("stop" in one for one in told): time.sleep(pause)
        parked.clear()

class Worker:
    def __init__(self, url=None, token=None, *, types=None, queues=(), slots=1, grace=20.0):
        self.api = Api(url or os.environ["LONGSHORE_URL"], token or os.environ.get("LONGSHORE_TOKEN", ""))
        self.types, self.queues, self.slots, self.grace, self.handlers = types, list(queues), min(slots, 100), grace, {}
        self.pid, self.name = os.getpid(), f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"
        self.jobs, self.lock, self.stopped, self.failure, self.keeper = {}, threading.Condition(), 0.0, None, None

    def on(self, type, handler=None, *, process=False):
        """Runs jobs of a type; also a decorator. process: in a process of its own, which a stop kills; True, or how
        multiprocessing starts one: "fork", "spawn"."""
        if handler is None: return lambda handler: self.on(type, handler, process=process) or handler
        self.handlers[type] = handler, process

    def stop(self):
        """Takes no more jobs; run ends once those that there are have ended, or the grace is over."""
        if self.stopped: return
        self.stopped = time.monotonic()
        threading.Thread(target=self._try, args=("stop", {"worker": self.name}), daemon=True).start()

    def run(self):
        """Runs jobs until stop, SIGTERM or SIGINT; a second signal ends the process at once."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, self._signal)
        leases, claims = [threading.Thread(target=run, daemon=True) for run in (self._leases, self._claims)]
        leases.start(); claims.start()
        while not self.stopped or (claims.is_alive() or self.jobs) and time.monotonic() < self.stopped + self.grace:
            for job in list(self.jobs.values()):
                if time.monotonic() > job.ends: job.halt("timeout")
            time.sleep(0.1)
            if self.failure: self.stop()
        left = list(self.jobs.values())
        for job in left: job.halt("drain")
        until = time.monotonic() + (2 if left else 0)
        while self.jobs and time.monotonic() < until: time.sleep(0.02)
        for job in left:
            if job.kill: job.kill()
        ends = [threading.Thread(target=self._finish, args=(job, {"release": True})) for job in left]
        for end in ends: end.daemon = True; end.start()
        for end in ends: end.join(5)
        self.keeper.stdin.close()
        if self.failure: raise self.failure

    def _signal(self, number, _):
        if os.getpid() != self.pid: return
        if not self.stopped: return self.stop()
        for job in list(self.jobs.values()): job.kill and job.kill()
        os._exit(128 + number)

    def _try(self, what, body, patience=10.0):
        try: return self.api.send("POST", "/v1/claims/" + what, body, patience=patience)
        except Exception as e: log.warning("longshore: %s: %s", what, e); return e

    def _claims(self):
        while not self.stopped:
            with self.lock:
                if not self.lock.wait_for(lambda: len(self.jobs) < self.slots, 1): continue
                ask = {"types": self.types or list(self.handlers), "queues": self.queues, "wait": "25s",
                       "n": self.slots - len(self.jobs), "key": secrets.token_urlsafe(16), "worker": self.name}
            def body(n): self.asked = time.monotonic(); return {**ask, "try": n}
            try: told = self.api.send("POST", "/v1/claims", body)
            except Exception as e:
                if isinstance(e, Refused) and e.status < 500 and e.code != "lost": self.failure = e; return
                log.warning("longshore: claim: %s", e); continue
            for one in told.get("jobs", ()):
                job = Job(one, self.api, lambda message, claim=one["claim"]: self._say(claim, message))
                job.ends = self.asked + one["timeout_ms"] / 1000
                with self.lock: self.jobs[job.claim] = job
                self._say(job.claim, {})
                threading.Thread(target=self._run, args=(job,), daemon=True).start()

    def _say(self, claim, message):
        with self.lock:
            job = self.jobs.get(claim)
            if not job or not self.keeper: return  # a new keeper is told of all jobs
            if "line" in message and job.rest is None: job.rest = queue.Queue()
            try: self.keeper.stdin.write(json.dumps({"id": job.id, "claim": claim, **message}) + "\n")
            except (OSError, ValueError): return

    def _leases(self):
        """Runs the program that keeps leases, and hears it."""
        while True:
            with self.lock:
                self.keeper = subprocess.Popen([sys.executable, os.path.abspath(__file__)], stdin=subprocess.PIPE,
                                               stdout=subprocess.PIPE, text=True, bufsize=1)
                first = {"url": self.api.url, "token": self.api.token, "worker": self.name}
                self.keeper.stdin.write(json.dumps(first) + "\n")
                for claim in self.jobs: self._say(claim, {})
            for line in self.keeper.stdout:
                said = json.loads(line)
                job = self.jobs.get(said["claim"])
                if not job: continue
                if "rest" in said: job.rest.put(said["rest"])
                elif said["stop"] == "drain": self.stop()
                else: job.halt(said["stop"])
            if self.keeper.stdin.closed: return
            log.error("longshore: the program that keeps leases has ended; another one starts")
            time.sleep(1)

    def _run(self, job):
        handler, process = self.handlers.get(job.type, (None, False))
        if handler is None: end = {"release": True}
        elif process: end = self._apart(job, handler, process)
        else: end = outcome(handler, job)
        self._finish(job, end)

    def _apart(self, job, handler, process):
        context = multiprocessing.get_context(None if process is True else process)
        with forking:  # else another child holds this one's pipe open
            job.pipe, theirs = context.Pipe()
            one = context.Process(target=child, args=(handler, job.told, self.api, theirs, job.pipe))
            one.start()
            theirs.close()
        job.kill = one.kill
        if job.stop.is_set(): job.halt(job.stop.reason)
        try:
            while "end" not in (said := job.pipe.recv()): self._say(job.claim, said)
            return said["end"]
        except (EOFError, OSError):
            one.join()
            return {"error": {"message": f"the handler's process has ended: {one.exitcode}", "code": "crashed"}}
        finally: job.kill = None; one.join(5); one.kill(); one.join(); job.pipe.close()

    def _finish(self, job, end):
        with self.lock:
            if job.over: return
            job.over = True
        reason = job.stop.reason
        if reason == "canceled": end = {"error": {"message": "canceled"}}
        elif reason == "drain" and "error" in end: end = {"release": True}
        if reason not in ("timeout", "lost"):
            body = {"id": job.id, "claim": job.claim, **end}
            if job.rest:
                self._say(job.claim, {"rest": True})
                try: rest = job.rest.get(timeout=5)
                except queue.Empty: rest = {}
                if rest.get("lines"): body["log"] = rest
            told = self._try("finish", {"jobs": [body]}, 60.0)
            problem = told if isinstance(told, Refused) else Refused(200, told["jobs"][0].get("problem") or {}) \
                if isinstance(told, dict) else None
            if problem and problem.code not in (None, "lost", "already_finished") and "error" not in end:
                body = {"id": job.id, "claim": job.claim, "error": {"message": clean(problem.detail, 8000)}}
                self._try("finish", {"jobs": [body]}, 60.0)
        self._say(job.claim, {"drop": True})
        with self.lock: del self.jobs[job.claim]; self.lock.notify_all()

forking = threading.Lock()
if __name__ == "__main__": renew()
