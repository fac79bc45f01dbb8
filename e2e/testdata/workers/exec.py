#!/usr/bin/env python3
# A program that enqueue work starts for each job.
import json
import os
import signal
import sys
import time
from pathlib import Path

payload = json.loads(Path(os.environ["LONGSHORE_PAYLOAD"]).read_text())
attempt = int(os.environ["LONGSHORE_ATTEMPT"])
home = Path(os.environ["LONGSHORE_FUNCTION"])
out = Path(os.environ["LONGSHORE_OUT"])
if "LONGSHORE_TOKEN" in os.environ or "LONGSHORE_URL" not in os.environ:
    sys.exit("the environment is another one")


def tell(**what):
    with open(os.environ["LONGSHORE_CONTROL"], "w") as control:
        control.write(json.dumps(what) + "\n")


def result(value):
    print(json.dumps(value, separators=(",", ":")))


def log(line):
    print(line, file=sys.stderr, flush=True)


def ran(name):
    with open(home / (name + ".runs"), "a") as file:
        file.write("x")


def slow():
    ran(payload["until"])
    tell(progress={"done": 1})
    while not (home / payload["until"]).exists():
        time.sleep(0.02)
    result("whole")


def stopped(*_):
    (home / payload["told"]).write_text("stopped")
    sys.exit(1)


kind = os.environ["LONGSHORE_TYPE"].split(".")[1]
if kind == "result":
    result({"twice": payload["n"] * 2, "attempt": attempt})
elif kind == "files" or kind == "apart":
    content = sys.stdin.buffer.read()
    (out / "copy.bin").write_bytes(content)
    log("from a child")
    if kind == "files":
        count = content.count(b"\n")
        (out / "count.txt").write_text(f"{count} {len(content)}")
        (out / "part.txt").write_text("part")
elif kind == "talks":
    log("one")
    log("two")
    tell(progress={"done": 3, "total": 10, "note": "page 3"})
    while not (home / payload["until"]).exists():
        time.sleep(0.02)
    log("three")
    result("told")
elif kind == "retries":
    if attempt == 1:
        sys.exit("not yet")
    result(attempt)
elif kind == "fails":
    tell(fail="never")
elif kind == "submits":
    tell(submit={"type": "math.primes", "payload": {"n": 10}})
elif kind == "later":
    flag = home / payload["flag"]
    if not flag.exists():
        flag.touch()
        tell(retry_in="100ms")
    result(attempt)
elif kind == "busy":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begun, n = time.monotonic(), 0
    while True:
        if time.monotonic() - begun > n / 20:
            n += 1
            (home / payload["beats"]).write_text(str(n))
elif kind == "waits":
    signal.signal(signal.SIGTERM, stopped)
    tell(progress={"done": 1})
    time.sleep(60)
elif kind == "slow":
    slow()
elif kind == "holds":
    ran("holds")
    time.sleep(payload["seconds"])
    result(attempt)
elif kind == "odd":
    if payload["how"] == "large":
        tell(result="x" * 70_000)
    elif payload["how"] == "noJSON":
        sys.exit("no JSON")
    else:
        for n in range(5001):
            log(f"line {n}")
