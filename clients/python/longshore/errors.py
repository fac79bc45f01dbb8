"""What can go wrong. No text of these holds a token."""

from __future__ import annotations

from typing import Any


class LongshoreError(Exception):
    """The base of all errors of this package."""


class Refused(LongshoreError):
    """The server refused a request; `code` is stable. A server that can't be reached is refused too: code
    `unavailable`, status 0. `problem` is the whole answer, `errors` each wrong place of what was sent."""

    def __init__(self, problem: dict[str, Any], status: int = 0, retry_after: float = 0.0) -> None:
        self.problem, self.status, self.retry_after = problem, status, retry_after
        self.code = str(problem.get("code", "unavailable"))
        self.errors: list[dict[str, str]] = problem.get("errors") or []
        places = "; ".join(f"{e.get('pointer', '')}: {e.get('detail', '')}" for e in self.errors)
        super().__init__(places or problem.get("detail") or problem.get("title") or self.code)


class Invalid(Refused): """What was asked for is wrong; see `errors`."""
class NotFound(Refused): """There is no such job, or type."""
class Conflict(Refused): """It can't be done as things are; `code` says why."""
class Unauthorized(Refused): """The token is wrong, or over."""
class Forbidden(Refused): """The token is not good for that."""
class RateLimited(Refused): """Too many requests, or jobs that wait: `retry_after` is in seconds."""
class Unavailable(Refused): """The server can't do it now, or can't be reached."""
class Foreign(LongshoreError): """What answered is not Longshore. Most often the URL is wrong."""
class DigestMismatch(LongshoreError): """A file arrived with other bytes than were sent."""


KINDS = {0: Unavailable, 401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 410: NotFound, 412: Conflict,
         422: Invalid, 423: Conflict, 429: RateLimited, 502: Unavailable, 503: Unavailable, 504: Unavailable}


def refused(problem: dict[str, Any], status: int = 0, retry_after: float = 0.0) -> Refused:
    return KINDS.get(status, Refused)(problem, status, retry_after)


class JobFailed(LongshoreError):
    """The job has ended without success; `job` is its last snapshot."""

    def __init__(self, job: Any) -> None:
        error = job.get("error") or {}
        self.job, self.code = job, str(error.get("code", job["state"]))
        super().__init__(error.get("message") or f"the job is {job['state']}")


class WaitTimeout(LongshoreError, TimeoutError):
    """The wait is over before the job has ended; `job` is as it was last seen."""

    def __init__(self, job: Any) -> None:
        self.job = job
        super().__init__(f"the job is still {job['state']}")
