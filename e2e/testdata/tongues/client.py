"""Drives the Python client, installed from its wheel: client.py URL FAKE FILE. It says "restart" when the server may be
killed, and at the end what came of all."""

import hashlib
import json
import os
import pathlib
import re
import sys
import time
from datetime import datetime, timedelta, timezone

import longshore
from longshore import (DigestMismatch, Foreign, Invalid, JobFailed, Longshore, LongshoreError, NotFound, Unauthorized,
                       Unavailable, WaitTimeout)

url, fake, name = sys.argv[1:]
token = os.environ["LONGSHORE_TOKEN"]
assert "site-packages" in longshore.__file__, longshore.__file__
said = []


def raises(kind, do, *args, **named):
    try:
        do(*args, **named)
    except kind as e:
        e_text = f"{e!r} {e} {e.__cause__!r}"
        assert token not in e_text and "geheim" not in e_text, e_text
        return e
    raise AssertionError(f"{do} raises no {kind}")


def whole(client, id, name=None):
    return b"".join(client.output(id, name))


# what is wrong before anything is sent; neither password nor token is repeated
raises(ValueError, Longshore, "http://me:geheim@localhost")
raises(ValueError, Longshore, url, "geheim\n")
assert token not in repr(Longshore(url, token)) + str(Longshore(url, token))

# a server that does as it likes
villain = Longshore(fake, token, timeout=20)
began = time.monotonic()
assert villain.submit("any.type", {})["keys"] == 1
assert time.monotonic() - began >= 1, "Retry-After was not kept to"
quick = Longshore(fake, token, timeout=0.3, retry_for=0)
raises(Unavailable, quick.get, "hangs")
raises(Unavailable, whole, quick, "short")
raises(Unavailable, whole, quick, "chunked")
raises(DigestMismatch, whole, villain, "flipped")
raises(Foreign, villain.get, "page")
raises(Foreign, villain.get, "away")
assert raises(LongshoreError, villain.get, "teapot").code == "brewing"
assert whole(villain, "resumed") == b"0123456789"
assert whole(villain, "away") == b"token: none"
assert [j["rev"] for j in villain.follow("held")] == [1, 2]

# refusals are typed, and point to the place
client = Longshore(url, token, retry_for=120)  # the machine may be busy while the server comes back
assert raises(Invalid, client.submit, "math.primes", {"n": "many"}).errors[0]["pointer"] == "/payload/n"
raises(NotFound, client.get, "01a20967-50f3-73e0-89b5-4af387a3557a")
raises(Unauthorized, Longshore(url, "wrong" * 6).get, "01a20967-50f3-73e0-89b5-4af387a3557a")
raises(ValueError, client.submit, "math.primes", {"n": float("nan")})
hour = datetime.now(timezone.utc) + timedelta(hours=1)
far = client.submit("math.primes", {"n": 5}, run_at=hour, labels={"of": "us"}, timeout=timedelta(seconds=90))
assert far["state"] == "scheduled" and far["labels"] == {"of": "us"}
assert raises(WaitTimeout, client.wait, far["id"], timeout=0.2).job["rev"] == far["rev"]
canceled = client.cancel(far["id"])
assert canceled["state"] == "canceled" and client.wait(far["id"], after=far["rev"])["rev"] > far["rev"]
assert raises(JobFailed, client.result, far["id"]).job["id"] == far["id"]

# inputs: without a size, that end too soon, that fail, of the wrong kind
data = pathlib.Path(name).read_bytes()


def parts(many, then=None):
    for i in range(many):
        yield data[i * 100_000:(i + 1) * 100_000]
    if then:
        raise then


for source, want in ((data[:10], data[:10]), (parts(60), data[:6_000_000]), (open(name, "rb"), data)):
    job = client.upload("file.checksum", source, filename="in.bin", labels={"of": "us"})
    assert client.result(job["id"])["sha256"] == hashlib.sha256(want).hexdigest()
for mine in (RuntimeError("mine"), ConnectionResetError("mine")):  # the second looks like the connection's
    for size in (None, len(data)):
        assert raises(type(mine), client.upload, "file.checksum", parts(60, mine), size=size) is mine
raises(EOFError, client.upload, "file.checksum", parts(60), size=7_000_000)
for left in client.request("GET", "/v1/jobs?state=uploading")["jobs"]:
    client.wait(left["id"], timeout=60)  # the server hears of each that nobody goes on with it
raises(TypeError, client.upload, "file.checksum", ["text"])
raises(Invalid, client.upload, "no.such", parts(90))

# what a caller hands over stays as it is
raises(ValueError, client.upload, "file.checksum", b"x", labels={"a": "x,b=y"})
assert json.loads(longshore.client.as_json({"payload": 1.5, "hold": None})) == {"payload": 1.5}

# a crowd of jobs and an upload while connections break and the server is killed
print("restart", flush=True)
ids = [one["id"] for one in client.submit_many({"type": "math.primes", "payload": {"n": i + 2}} for i in range(700))]
with open(name, "rb") as file:
    upload = client.upload("file.compress", file, {"format": "gzip"})
revs = [j["rev"] for j in client.follow(upload["id"])]
assert revs == sorted(set(revs)), revs
ended = [client.result(id) for id in ids[:30]]
output = client.outputs(upload["id"])[0]
assert hashlib.sha256(whole(client, upload["id"], output["name"])).hexdigest() == output["sha256"]

# Django's Tasks
from django.tasks.base import TaskResultStatus  # noqa: E402
from django.tasks.exceptions import TaskResultDoesNotExist  # noqa: E402
from django.tasks.signals import task_enqueued  # noqa: E402
import shop  # noqa: E402

backend = shop.add.get_backend()
results = [shop.add.enqueue(1, 2, extra=3), shop.attempts.using(priority=50).enqueue(), shop.broken.enqueue("key")]
assert len(task_enqueued.sent) == 3 and results[0].status is TaskResultStatus.READY
later = shop.add.using(run_after=datetime.now(timezone.utc) + timedelta(hours=1)).enqueue(1, 1)
assert client.get(later.id)["state"] == "scheduled" and client.get(results[1].id)["priority"] == "high"
for r in results:
    client.wait(r.id)
added, tried, broken = (backend.get_result(r.id) for r in results)
assert added.return_value == {"sum": 6} and added.args == [1, 2] and added.task.func is shop.add.func
assert tried.return_value == [1, tried.id] and tried.task.priority == 50 and tried.finished_at >= tried.enqueued_at
assert broken.status is TaskResultStatus.FAILED and len(broken.worker_ids) == 1
assert broken.errors[0].exception_class_path == "builtins.LookupError" and "no key" in broken.errors[0].traceback
for id in ("nonsense", far["id"], "01a20967-50f3-73e0-89b5-4af387a3557a"):
    raises(TaskResultDoesNotExist, backend.get_result, id)
raises(TypeError, shop.add.enqueue, object())

# what docs/python.md says
os.chdir(os.environ["DOCS_DIR"])
os.symlink(name, "access.log")
documented = re.findall(r"(?ms)^```python\n(.*?)^```$", pathlib.Path("python.md").read_text())
names: dict = {"print": lambda *_: None}
for block in documented:
    exec(block, names)
assert len(documented) == 3 and pathlib.Path(names["output"]["name"]).stat().st_size == names["output"]["size"]
assert names["TASKS"]["default"]["BACKEND"] == "longshore.django.LongshoreBackend"

print(json.dumps({"jobs": len(set(ids)), "ended": len(ended), "size": output["size"]}))
