"""What the server says and takes, as /openapi.json describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict, Union

from .errors import Refused

Duration = Union[timedelta, float, str]  # a number is seconds, a text "25s" or "2h"
State = Literal["uploading", "waiting", "scheduled", "queued", "running", "retrying", "succeeded", "failed",
                "canceled", "expired"]


class Controls(TypedDict, total=False):
    """What a submission may say beside its type and payload."""
    priority: Literal["high", "default", "low"]
    queue: str
    run_at: datetime | str
    timeout: Duration
    expires_in: Duration
    max_attempts: int
    retention: Duration
    callback_url: str
    labels: Mapping[str, str]
    after: Sequence[str]
    on_failure: Literal["cancel", "run"]
    hold: str
    batch: str
    batch_name: str
    limit_key: str
    delete_input: Literal["never", "on_success", "at_end"]
    unique_key: str
    unique_until: Literal["started", "ended", "removed"]
    on_conflict: Literal["return", "refuse", "replace"]
    max_wait: Duration


class _Type(TypedDict):
    type: str


class Submission(_Type, Controls, total=False):
    """A submission of `submit_many`."""
    payload: Any
    input: Mapping[str, str]
    id: str
    idempotency_key: str


class JobError(TypedDict):
    code: str
    message: str


class Output(TypedDict, total=False):
    name: str
    size: int
    content_type: str
    sha256: str


class _Job(TypedDict):
    id: str
    type: str
    state: State
    done: bool
    rev: int
    attempt: int
    max_attempts: int
    created_at: str


class Job(_Job, total=False):
    """A job as it is at one revision; /openapi.json tells of all fields."""
    result: Any
    error: JobError
    errors: list[dict[str, Any]]
    outputs: list[Output]
    progress: dict[str, Any]
    overall: float | None
    priority: str
    queue: str
    labels: dict[str, str]
    run_at: str
    started_at: str
    finished_at: str
    delete_input: str
    input_deleted_at: str
    expires_at: str
    waiting_for: str
    retry_of: str
    retried_as: str
    batch: str
    worker: str


class Submitted(TypedDict, total=False):
    """What became of the submission with this index: the job's id, or why there is none."""
    index: int
    id: str
    created: bool
    error: Refused
