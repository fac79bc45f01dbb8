"""Requests, and their repeats where that does no harm."""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

from .errors import Foreign, Refused, refused

PASSING = (0, 429, 502, 503, 504)
RESUMABLE = (409, 423, 500, 507)  # of an upload in pieces: another request holds it, or there is no space now
BROKEN = (OSError, http.client.HTTPException)


@dataclass
class Call:
    """One request, which may be sent several times."""
    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""  # what is not bytes goes once
    safe: bool = True  # a repeat does no harm
    known: bool = False  # the server knows what is asked for: worth more patience
    resumes: bool = False
    timeout: float = 0.0  # how long nothing may come; 0 = the client's
    download: bool = False  # may be redirected elsewhere, without the token
    until: float | None = None  # of the monotonic clock: no try begins later (TooLate)


class Answer:
    """An answer with its body open."""

    def __init__(self, response: http.client.HTTPResponse, connection: http.client.HTTPConnection) -> None:
        self.status, self.headers, self.size = response.status, response.headers, response.length
        self._response, self._connection = response, connection
        self.kind = self.headers.get_content_type() if "Content-Type" in self.headers else "no content type"

    def read(self, size: int = 64 << 10) -> bytes:
        """At most size bytes; b"" at the end. A body that was cut is an error, not an end."""
        left = self._response.length
        try:  # of a stream what has come
            data = self._response.read1(size) if left is None else self._response.read(min(size, left))
            if left and not data:
                raise http.client.IncompleteRead(b"", left)
        except BROKEN as e:
            unreachable(self._connection, e)
        return data

    def lines(self) -> Iterator[str]:
        rest = b""
        while data := self.read():
            *whole, rest = (rest + data).split(b"\n")
            yield from (line.decode().rstrip("\r") for line in whole)

    def json(self) -> Any:
        with self:
            text = b"".join(iter(self.read, b""))
        try:
            return json.loads(text if self.kind.endswith("json") else b"")
        except ValueError:
            self.foreign()

    def foreign(self, more: str = "") -> NoReturn:
        raise Foreign(f"this is not Longshore's answer; check the URL (HTTP {self.status}, {self.kind}{more})")

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class Transport:
    """Makes requests of one server, each over a connection of its own, so threads and forks may share it."""

    def __init__(self, url: str, token: str | None, timeout: float, retry_for: float,
                 on_retry: Callable[[Refused, float], None] | None, context: ssl.SSLContext | None) -> None:
        self.base = urlsplit(url.rstrip("/"))
        if self.base.scheme not in ("http", "https") or not self.base.hostname or "@" in self.base.netloc:
            raise ValueError("the URL must look like http://host:port or https://host")  # it may hold a password
        if token and not (token.isascii() and token.isprintable()):
            raise ValueError("the token must be printable ASCII, without a line end")
        self.timeout, self.retry_for, self.on_retry, self.context = timeout, retry_for, on_retry, context
        self._token = token

    def send(self, call: Call, read: Callable[[Answer], Any] = Answer.json) -> Any:
        """What is read of a success's answer, after as many tries as it takes."""
        patience = Patience(self)
        while True:
            try:
                return read(self.once(call))
            except Refused as e:
                patience.pause(e, call)

    def once(self, call: Call) -> Answer:
        """One try. Reads are redirected within the origin; downloads elsewhere too, but then without the token, and
        never from https to http."""
        at = urlsplit(self.base.geturl() + call.path + ("?" + urlencode(call.query) if call.query else ""))
        for _ in range(6):
            answer = self._ask(call, at)
            if answer.status < 300:
                return answer
            with answer:
                to = urlsplit(urljoin(at.geturl(), answer.headers.get("Location", "")))
                inside = origin(to) == origin(self.base) or call.download and to.scheme in ("https", at.scheme)
                if answer.status >= 400 or call.method != "GET" or not inside:
                    refuse(call, answer, to)
            at = to
        raise Foreign("the server redirects in a circle; check the URL")

    def _ask(self, call: Call, at: SplitResult) -> Answer:
        headers = {"Accept": "application/json, application/problem+json", "User-Agent": "longshore-python",
                   "Accept-Encoding": "identity", "Connection": "close", **call.headers}
        if self._token and origin(at) == origin(self.base):
            headers["Authorization"] = "Bearer " + self._token
        chunked = not isinstance(call.body, bytes) and "Content-Length" not in headers
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        body: Any = call.body if isinstance(call.body, bytes) else guarded(call.body)
        timeout = call.timeout or self.timeout
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout) if at.scheme == "http" else \
            http.client.HTTPSConnection(at.hostname or "", at.port, timeout=timeout, context=self.context)
        try:
            target = (at.path or "/") + ("?" + at.query if at.query else "")
            try:
                connection.request(call.method, target, body or None, headers, encode_chunked=chunked)
            except (BrokenPipeError, ConnectionResetError):
                if not body:
                    raise  # else it has refused the rest, and said why
            return Answer(connection.getresponse(), connection)
        except BROKEN as e:
            unreachable(connection, e)
        except BaseException as e:  # the input has failed, or somebody wants to leave
            connection.close()
            raise (e.__cause__ if isinstance(e, InputFailed) and e.__cause__ else e)


class TooLate(Exception):
    """The caller's time is over, and this was the last error."""

    def __init__(self, error: Refused) -> None:
        self.error = error


class InputFailed(Exception):
    """Keeps an error of the caller's input apart from those of the connection."""


def guarded(body: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from body
    except Exception as e:
        raise InputFailed from e


def origin(u: SplitResult) -> tuple[str, str | None, int]:
    return u.scheme, u.hostname, u.port or (443 if u.scheme == "https" else 80)


def unreachable(connection: http.client.HTTPConnection, cause: BaseException) -> NoReturn:
    connection.close()
    why = f"{connection.host}:{connection.port}: {str(cause) or type(cause).__name__}"
    raise refused({"code": "unavailable", "detail": why}) from cause


def refuse(call: Call, answer: Answer, to: SplitResult) -> NoReturn:
    problem: dict[str, Any] = {"code": "unavailable", "detail": f"HTTP {answer.status}, {answer.kind}"}
    if answer.kind == "application/problem+json":
        if call.method != "HEAD":  # its refusals have no body
            problem = answer.json()
    elif answer.status not in PASSING:  # of something in front of the server, that speaks for it
        answer.foreign(f", redirects to {to.scheme}://{to.hostname}{to.path}" if answer.status < 400 else "")
    raise refused(problem, answer.status, retry_after(answer))


def retry_after(answer: Answer) -> float:
    """The header's two forms (RFC 9110, section 10.2.3), in seconds; 0 = nothing."""
    text = answer.headers.get("Retry-After", "")
    try:
        return min(86400.0, max(0.0, float(text) if text.isdigit() else
                                parsedate_to_datetime(text).timestamp() - time.time()))
    except (ValueError, TypeError):
        return 0.0


class Patience:
    """Decides whether to try again, and when. A good answer sets tries to 0."""

    def __init__(self, transport: Transport) -> None:
        self.transport, self.tries, self.first = transport, 0, 0.0

    def pause(self, error: Refused, call: Call) -> None:
        """Returns when it is time for the next try, and raises the error if there is to be none."""
        cause = error.__cause__
        hopeless = isinstance(cause, ssl.SSLError) or isinstance(cause, socket.gaierror) and \
            cause.errno == socket.EAI_NONAME or error.code == "store_reset"  # that ends by an operator alone
        passes = error.status in PASSING or call.resumes and error.status in RESUMABLE
        if hopeless or not passes or not call.safe or not isinstance(call.body, bytes):
            raise error
        if not self.tries:
            self.first = time.monotonic()
        wait = min(4.0, 0.2 * 2 ** min(self.tries, 10)) * random.uniform(0.5, 1)
        if error.retry_after:  # up to a quarter longer, as others were told the same
            wait = error.retry_after * random.uniform(1, 1.25)
        if call.until is not None and time.monotonic() + wait > call.until:
            raise TooLate(error)
        if time.monotonic() + wait - self.first > self.transport.retry_for * (8 if call.known else 1):
            raise error
        self.tries += 1
        if self.transport.on_retry:
            self.transport.on_retry(error, wait)
        time.sleep(wait)
