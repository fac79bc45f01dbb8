"""A client of Longshore: submits, uploads, waits for and follows jobs. Standard library only."""

from .client import Longshore
from .errors import (Conflict, DigestMismatch, Forbidden, Foreign, Invalid, JobFailed, LongshoreError, NotFound,
                     RateLimited, Refused, Unauthorized, Unavailable, WaitTimeout)
from .types import Controls, Job, Output, State, Submission, Submitted

__all__ = ["Conflict", "Controls", "DigestMismatch", "Forbidden", "Foreign", "Invalid", "Job", "JobFailed",
           "Longshore", "LongshoreError", "NotFound", "Output", "RateLimited", "Refused", "State", "Submission",
           "Submitted", "Unauthorized", "Unavailable", "WaitTimeout"]
