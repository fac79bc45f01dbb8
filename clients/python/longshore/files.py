"""What goes up and what comes down, both in constant memory."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from typing import IO, Any, Union

from .errors import DigestMismatch, Foreign, Refused
from .transport import Answer, Call, Patience, Transport

Input = Union[bytes, IO[bytes], Iterable[bytes]]
PIECE = 4 << 20  # kept until the server has it, so an input need not be rewound


class Source:
    """An input, read once from its front to its end."""

    def __init__(self, source: Any, size: int | None) -> None:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        self.size, self.taken, self._rest, reads = size, 0, b"", hasattr(file, "read")
        self._more: Iterator[Any] = iter(lambda: file.read(1 << 20), b"") if reads else iter(file)
        if size is None and reads and hasattr(file, "seekable") and file.seekable():
            at = file.tell()
            self.size = file.seek(0, os.SEEK_END) - at or None  # files of /proc say 0
            file.seek(at)

    def take(self, size: int) -> bytes:
        """The next size bytes; fewer at the end alone."""
        size = size if self.size is None else min(size, self.size - self.taken)
        parts, have = [self._rest], len(self._rest)
        while have < size and (part := next(self._more, None)) is not None:
            if not isinstance(part, (bytes, bytearray, memoryview)):
                raise TypeError(f"the input must give bytes, not {type(part).__name__}")
            parts.append(bytes(part))
            have += len(parts[-1])
        if have < size and self.size is not None:
            raise EOFError(f"the input is {self.size - self.taken - have} bytes shorter than announced")
        whole = b"".join(parts)
        self._rest, self.taken = whole[size:], self.taken + min(size, have)
        return whole[:size]

    def rest(self, first: bytes) -> Iterator[bytes]:
        while first:
            yield first
            first = self.take(1 << 20)


def head(answer: Answer) -> Any:
    with answer:
        return answer.headers


def upload(transport: Transport, source: Source, first: bytes, headers: dict[str, str], drop: bool) -> str | None:
    """Sends an input that has a size in pieces, by tus 1.0, and returns the job's id; None where the server takes no
    pieces. After a cut it asks how far the server is. Each piece that arrives begins the patience anew."""
    begins, offset, size, patience = 0, 0, source.size or 0, Patience(transport)

    def call(method: str, path: str, more: dict[str, str] = {}, body: bytes = b"") -> Call:
        return Call(method, path, headers={"Tus-Resumable": "1.0.0", **more}, body=body, resumes=True,
                    known=path != "/v1/uploads", timeout=120 if body else 0)

    try:
        path = "/v1/uploads/" + transport.send(call("POST", "/v1/uploads", headers), head)["Longshore-Job"]
    except Refused as e:
        if e.status == 501:
            return None
        raise
    try:
        while offset < size:
            before, offset = offset, int(transport.send(call("HEAD", path), head)["Upload-Offset"])
            if not begins <= offset <= size:
                raise Foreign("the upload's offset is none that was sent")
            patience.tries = 0 if offset > before else patience.tries
            try:
                while offset < size:
                    while offset >= begins + len(first):
                        begins, first = begins + len(first), source.take(PIECE)
                    kind = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
                    patch = call("PATCH", path, kind, first[offset - begins:])
                    offset, patience.tries = int(head(transport.once(patch))["Upload-Offset"]), 0
            except Refused as e:
                patience.pause(e, patch)
        return str(path).rpartition("/")[2]
    except Exception:
        if drop:  # nobody could go on with it; if this fails it expires
            try:
                head(transport.once(call("DELETE", path)))
            except Exception:
                pass
        raise


def download(transport: Transport, path: str) -> Iterator[bytes]:
    """The bytes of a file. It goes on after a cut where it stopped; an end that comes too soon is an error, and so are
    bytes that are not those which the server announced."""
    at, tag, want, digest, patience = 0, "", "", hashlib.sha256(), Patience(transport)
    while True:
        resumes = {"Range": f"bytes={at}-", "If-Range": tag} if at else {}
        call = Call("GET", path, headers={"Accept": "*/*", **resumes}, download=True)
        try:
            with transport.send(call, lambda answer: answer) as answer:
                if not at:
                    told = answer.headers.get("Repr-Digest", answer.headers.get("Content-Digest", ""))
                    tag, want = answer.headers.get("ETag", ""), told.partition("sha-256=:")[2].partition(":")[0]
                elif not answer.headers.get("Content-Range", "").startswith(f"bytes {at}-"):
                    answer.foreign(f": the download broke off at byte {at} and can't be continued")
                if answer.kind == "text/html" and not tag and not want:
                    answer.foreign()
                while data := answer.read():
                    at, patience.tries = at + len(data), 0
                    digest.update(data)
                    yield data
            if want and base64.b64decode(want) != digest.digest():
                raise DigestMismatch("the file's digest does not match what was received")
            return
        except Refused as e:
            if not tag or e.status:
                raise  # the file can't be known again
            patience.pause(e, call)
