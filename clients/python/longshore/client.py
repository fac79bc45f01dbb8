"""The client."""

from __future__ import annotations

import base64
import json
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .errors import Foreign, JobFailed, Refused, WaitTimeout, refused
from .files import PIECE, Input, Source, download, upload
from .transport import PASSING, Answer, Call, Patience, TooLate, Transport, retry_after
from .types import Controls, Job, Output, Submission, Submitted

if TYPE_CHECKING:
    from typing_extensions import Unpack

POLL, HEARTBEAT = 25.0, 40.0  # seconds: what one long-poll waits; how long a stream may be silent
LINES, BYTES = 500, 4 << 20  # of a request of submit_many


class Longshore:
    """A client of one Longshore. Threads may share it."""

    def __init__(self, url: str = "http://127.0.0.1:8080", token: str | None = None, *, timeout: float = 30.0,
                 retry_for: float = 15.0, on_retry: Callable[[Refused, float], None] | None = None,
                 ssl_context: ssl.SSLContext | None = None) -> None:
        """timeout is how many seconds a connection may bring nothing; retry_for for how many a request is repeated
        where that does no harm, and eight times as many for a job that was seen."""
        self._transport = Transport(url, token, timeout, retry_for, on_retry, ssl_context)

    def __repr__(self) -> str:
        return f"Longshore({self._transport.base.geturl()!r})"

    def submit(self, type: str, payload: Any = None, *, input: Mapping[str, str] | None = None, id: str | None = None,
               idempotency_key: str | None = None, **controls: Unpack[Controls]) -> Job:
        """Submits a job without a file. Whatever happens on the way, it becomes one job."""
        return self._act("/v1/jobs", as_json({"type": type, "payload": payload, "input": input, **controls}),
                         drawn(id, idempotency_key))

    def upload(self, type: str, source: Input, payload: Any = None, *, size: int | None = None,
               filename: str | None = None, content_type: str = "application/octet-stream", id: str | None = None,
               idempotency_key: str | None = None, **controls: Unpack[Controls]) -> Job:
        """Uploads the input of a job, and returns the job once the server has all of it. What has a size goes in
        pieces, through cuts and restarts; an iterable or a pipe without one, if it is long, in one request."""
        text = None if payload is None else json.dumps(payload, allow_nan=False)
        given: dict[str, Any] = {"payload": text, "filename": filename, **controls}
        words = {k: as_word(v) for k, v in given.items() if v is not None}
        coded = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in
                         {"type": type, "filetype": content_type, **words}.items())
        headers, file = drawn(id, idempotency_key), Source(source, size)
        first: Any = file.take(PIECE)
        if len(first) == PIECE and file.size and len(coded) < 6 << 10:
            made = upload(self._transport, file, first, {"Upload-Length": str(file.size), "Upload-Metadata": coded,
                                                         **headers}, drop=not (id or idempotency_key))
            if made:
                return self._look(made, True)
        if len(first) == PIECE:
            headers, first = headers | ({"Content-Length": str(file.size)} if file.size else {}), file.rest(first)
        job: Job = self._transport.send(Call("POST", f"/v1/jobs/{quote(type, safe='')}", words, {
            **headers, "Content-Type": content_type}, first, timeout=120))
        return job

    def submit_many(self, submissions: Iterable[Submission]) -> Iterator[Submitted]:
        """Submits many jobs, some hundred a request, and tells of each. What has no answer yet is sent again under
        its key, and so is what the server can't take for the moment."""
        group: list[bytes] = []
        first, size = 0, 0
        for s in submissions:
            key = {} if "id" in s or "idempotency_key" in s else {"idempotency_key": str(uuid.uuid4())}
            group.append(as_json({**s, **key}))
            size += len(group[-1])
            if len(group) == LINES or size >= BYTES:
                yield from self._group(group, first)
                first, size, group = first + len(group), 0, []
        yield from self._group(group, first)

    def _group(self, lines: list[bytes], first: int) -> Iterator[Submitted]:
        waiting, patience = list(range(len(lines))), Patience(self._transport)
        while waiting:
            sent, failure = list(waiting), refused({"code": "unavailable", "detail": "not all lines were answered"})
            call = Call("POST", "/v1/jobs/batch", body=b"".join(lines[i] + b"\n" for i in sent), timeout=60, headers={
                "Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson, application/problem+json"})
            try:
                with self._transport.once(call) as answer:
                    for line in answer.lines():
                        told = json.loads(line)
                        i = sent[told["line"] - 1]
                        error = refused(told, told["status"], told.get("retry_after", 0)) if "code" in told else None
                        if error and error.status in PASSING and error.code != "store_reset":
                            failure = error
                            continue
                        waiting.remove(i)
                        patience.tries = 0
                        yield {"index": first + i, "error": error} if error else \
                            {"index": first + i, "id": told["id"], "created": told.get("created", False)}
            except (ValueError, KeyError, IndexError):
                raise Foreign("this is not Longshore's answer; check the URL (lines of a batch)") from None
            except Refused as e:
                failure = e
            if waiting:
                patience.pause(failure, call)

    def get(self, id: str) -> Job:
        return self._look(id, False)

    def cancel(self, id: str) -> Job:
        """Asks for a job's end. A second time, or after the end, it does nothing."""
        return self._act(at(id, "/cancel"))

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Any other request of the API, JSON both ways. A POST is sent once: a repeat might do it twice."""
        text = b"" if body is None else json.dumps(body, allow_nan=False).encode()  # as it is, null too
        headers = {"Content-Type": "application/json"} if text else {}
        return self._transport.send(Call(method, path, headers=headers, body=text, safe=method != "POST"))

    def wait(self, id: str, *, after: int | None = None, timeout: float | None = None) -> Job:
        """The job once it has ended or, with after, once its revision is another; through restarts of the server.
        timeout is in seconds; WaitTimeout holds the job as it was last seen."""
        ends, job = time.monotonic() + (1e9 if timeout is None else timeout), None
        while True:
            asked = time.monotonic()
            left = max(0.0, min(POLL, ends - asked))
            query = {"wait": f"{int(left * 1000)}ms", **({"until": "done"} if after is None else {"after": str(after)})}
            call = Call("GET", at(id), query, timeout=left + self._transport.timeout, known=job is not None,
                        until=None if timeout is None else ends)
            try:
                later, job = self._transport.send(call, lambda answer: (retry_after(answer), answer.json()))
            except TooLate as e:
                if job is None:
                    raise e.error from None
                raise WaitTimeout(job) from e.error
            if job["done"] or after is not None and job["rev"] != after:
                found: Job = job
                return found
            if time.monotonic() >= ends:
                raise WaitTimeout(job)
            if later or time.monotonic() - asked < 1:  # it did not wait: too many do, or a proxy cut it short
                time.sleep(max(0.0, min(later or 0.5, ends - time.monotonic())))

    def follow(self, id: str, *, after: int | None = None) -> Iterator[Job]:
        """The job after each change, the last time at its end. It reads a stream of events; where none comes through
        it asks by long-poll. The revision is the cursor, so the end is never missed."""
        rev, silent = after, 0
        while True:  # after each stream comes a plain look, which tells what is wrong, if anything is
            job = self.wait(id, after=rev) if rev is not None and silent >= 3 else self._look(id, rev is not None)
            if job["rev"] != rev:
                rev = job["rev"]
                yield job
            if job["done"]:
                return
            before, begun, pause = rev, time.monotonic(), 0.0
            try:
                for event in self._events(id, rev) if silent < 3 else ():
                    pause = int(event.get("retry", pause * 1000)) / 1000
                    job = json.loads(event["data"]) if event.get("event") == "state" else job
                    if job["rev"] != rev:
                        rev = job["rev"]
                        yield job
                    if job["done"]:
                        return
            except (Refused, Foreign, ValueError, KeyError) as e:
                pause, passes = 0.0, isinstance(e, Refused) and e.status in PASSING
                silent = silent if passes else 3
            if silent < 3:
                silent = 0 if rev != before or time.monotonic() - begun > HEARTBEAT / 2 else silent + 1
                time.sleep(pause)

    def _events(self, id: str, rev: int) -> Iterator[dict[str, str]]:
        headers, event = {"Accept": "text/event-stream", "Last-Event-ID": str(rev)}, dict[str, str]()
        with self._transport.once(Call("GET", at(id, "/events"), {"after": rev}, headers, timeout=HEARTBEAT)) as answer:
            if answer.status != 204 and answer.kind != "text/event-stream":
                answer.foreign()
            for line in answer.lines():
                field, _, value = line.partition(":")
                if line:
                    event[field] = event.get(field, "") + value.strip()  # lines of JSON may be joined
                else:
                    yield event
                    event = {}

    def result(self, id: str, *, timeout: float | None = None) -> Any:
        """Waits for the end and returns the result; raises JobFailed where there is none."""
        return self._succeeded(id, timeout).get("result")

    def outputs(self, id: str, *, timeout: float | None = None) -> list[Output]:
        """Waits for the end and returns what the job has made; raises JobFailed."""
        return self._succeeded(id, timeout).get("outputs") or []

    def output(self, id: str, name: str | None = None) -> Iterator[bytes]:
        """The bytes of an output of a job that has ended; without a name of its only one, or of its result as JSON."""
        return download(self._transport, at(id, "/result" if name is None else "/outputs/" + quote(name, safe="")))

    def _succeeded(self, id: str, timeout: float | None) -> Job:
        job = self.wait(id, timeout=timeout)
        if job["state"] != "succeeded":
            raise JobFailed(job)
        return job

    def _look(self, id: str, known: bool) -> Job:
        job: Job = self._transport.send(Call("GET", at(id), known=known))
        return job

    def _act(self, path: str, body: bytes = b"", headers: Mapping[str, str] = {}) -> Job:
        headers = {**headers, "Content-Type": "application/json"} if body else headers
        job: Job = self._transport.send(Call("POST", path, headers=headers, body=body))
        return job


def at(id: str, rest: str = "") -> str:
    return f"/v1/jobs/{quote(id, safe='')}{rest}"


def drawn(id: str | None, key: str | None) -> dict[str, str]:
    """What makes a repeat harmless: the job's id, or a key that is drawn once for all tries."""
    return {"Longshore-Job": id} if id else {"Idempotency-Key": key or str(uuid.uuid4())}


def plain(value: Any) -> Any:
    """A duration or a time as the server reads it; all else as it is."""
    if isinstance(value, timedelta):
        return f"{round(value.total_seconds() * 1000)}ms"
    return value.astimezone(timezone.utc).isoformat() if isinstance(value, datetime) else value


def as_json(words: Mapping[str, Any]) -> bytes:
    words = {k: v if k in ("payload", "input") else plain(v) for k, v in words.items() if v is not None}
    return json.dumps(words, allow_nan=False).encode()


def as_word(value: Any) -> str:
    """A control as a parameter beside a file."""
    if isinstance(value, Mapping):
        value = [f"{k}={v}" for k, v in value.items()]
    if not isinstance(value, (list, tuple)):
        return str(plain(value))
    if any("," in one for one in value):
        raise ValueError("a comma can't stand in a list or in labels beside a file")
    return ",".join(value)
