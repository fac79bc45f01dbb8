import ctypes
import os
import time
from pathlib import Path

from longshore_worker import Fail, Release, RetryIn, Worker

worker = Worker(slots=4, grace=float(os.environ.get("GRACE", "20")))


def ran(name):
    with open(name + ".runs", "a") as file:
        file.write("x")


@worker.on("py.result")
def result(job):
    return {"twice": job.payload["n"] * 2, "attempt": job.attempt}


@worker.on("py.files")
def files(job):
    size, lines = 0, 0
    with job.input() as file:
        for line in file:
            size, lines = size + len(line), lines + 1
    job.output("count.txt", f"{lines} {size}".encode())
    with job.input() as file:
        job.output("copy.bin", file)
    Path("part.tmp").write_bytes(b"part")
    job.output("part.txt", "part.tmp", type="text/x-part")
    return None


@worker.on("py.talks")
def talks(job):
    job.log("one")
    job.log("two")
    job.progress(3, 10, "page 3")
    while not Path(job.payload["until"]).exists():
        time.sleep(0.02)
    job.log("three")
    return "told"


@worker.on("py.retries")
def retries(job):
    if job.attempt == 1:
        raise ValueError("not yet")
    return job.attempt


@worker.on("py.fails")
def fails(job):
    raise Fail("never")


@worker.on("py.later")
def later(job):
    flag = Path(job.payload["flag"])
    if not flag.exists():
        flag.touch()
        raise RetryIn(0.1) if job.payload["how"] == "in" else Release()
    return job.attempt


@worker.on("py.busy", process=True)
def busy(job):
    begun, n = time.monotonic(), 0
    while True:
        if time.monotonic() - begun > n / 20:
            n += 1
            Path(job.payload["beats"]).write_text(str(n))


@worker.on("py.apart", process=True)
def apart(job):
    job.log("from a child")
    with job.input() as file:
        job.output("copy.bin", file.read())
    return os.getpid()


@worker.on("py.waits")
def waits(job):
    job.progress(1)
    if job.stop.wait(60):
        Path(job.payload["told"]).write_text(job.stop.reason)
        raise RuntimeError("stopped")


@worker.on("py.slow")
def slow(job):
    ran(job.payload["until"])
    job.progress(1)
    until = Path(job.payload["until"])
    while not until.exists():
        time.sleep(0.02)
    return "whole"


@worker.on("py.holds")
def holds(job):
    ran("holds")
    ctypes.PyDLL(None).sleep(job.payload["seconds"])  # holds the interpreter's lock
    return job.attempt


@worker.on("py.odd")
def odd(job):
    if job.payload["how"] == "large":
        return "x" * 70_000
    if job.payload["how"] == "noJSON":
        return object()
    for n in range(5001):
        job.log(f"line {n}")


print("works", flush=True)
worker.run()
print("ended", flush=True)
