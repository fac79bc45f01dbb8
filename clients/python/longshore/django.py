"""A backend of Django's Tasks (Django 6.0 and later), and the program that runs them.

    TASKS = {"default": {"BACKEND": "longshore.django.LongshoreBackend", "QUEUES": ["default", "reports"], "OPTIONS": {
        "URL": "https://jobs.example.com", "TOKEN": "…", "TYPE": "django.task", "TYPES": {"reports": "django.report"},
        "CONTROLS": {"max_attempts": 5, "timeout": "10m"}}}}

A queue that TYPES names is a type of Longshore's; TYPE is that of all others, which are queues there too where their
names fit (a-z, 0-9 and dashes, at most 32), so that workers can serve them apart. On the other side a function whose
command is `python3 -m longshore.django` runs them.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from datetime import datetime, timezone
from typing import Any

from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import Task, TaskContext, TaskError, TaskResult, TaskResultStatus
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils.module_loading import import_string

from .client import Longshore
from .errors import Invalid, NotFound

READY, RUNNING = TaskResultStatus.READY, TaskResultStatus.RUNNING
STATUS = {"running": RUNNING, "succeeded": TaskResultStatus.SUCCESSFUL, "failed": TaskResultStatus.FAILED,
          "canceled": TaskResultStatus.FAILED, "expired": TaskResultStatus.FAILED}  # all else is READY
QUEUE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
RAISED = re.compile(r"exit status \d+: ([A-Za-z_][\w.]*\.\w+)(?:: |$)")


class LongshoreBackend(BaseTaskBackend):
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.client = Longshore(self.options.get("URL", "http://127.0.0.1:8080"), self.options.get("TOKEN"))

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        self.validate_task(task)
        payload = {"task": task.module_path, "args": list(args), "kwargs": kwargs, "queue_name": task.queue_name,
                   "priority": task.priority}
        rank = "low" if task.priority < 0 else "high" if task.priority > 0 else None
        types, name = self.options.get("TYPES", {}), task.queue_name
        queue = name if name != "default" and name not in types and QUEUE.match(name) else None
        controls = {"priority": rank, "queue": queue, "run_at": task.run_after, **self.options.get("CONTROLS", {})}
        typ = types.get(name, self.options.get("TYPE", "django.task"))
        job = self.client.submit(typ, payload, **{k: v for k, v in controls.items() if v is not None})
        result = _result(job, task, payload)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        types = {self.options.get("TYPE", "django.task"), *self.options.get("TYPES", {}).values()}
        try:
            job = self.client.get(result_id)
            if job["type"] not in types:  # another's: what it names is not ours to import
                raise TaskResultDoesNotExist(result_id)
            payload = self.client.request("GET", f"/v1/jobs/{job['id']}/payload")["payload"]
            task = import_string(payload["task"])
            if not isinstance(task, Task):
                raise TaskResultDoesNotExist(result_id)
            task = task.using(priority=payload["priority"], queue_name=payload["queue_name"], backend=self.alias)
        except (NotFound, Invalid, KeyError, TypeError, ImportError, InvalidTask):
            raise TaskResultDoesNotExist(result_id) from None
        return _result(job, task, payload)


def _result(job: Any, task: Any, payload: Any) -> Any:
    """A job as a result of Django's. Each attempt counts as a worker, since Django counts attempts by these."""
    result = TaskResult(
        task=task, id=job["id"], status=STATUS.get(job["state"], READY), enqueued_at=_time(job, "created_at"),
        started_at=_time(job, "started_at"), last_attempted_at=_time(job, "started_at"),
        finished_at=_time(job, "finished_at"), args=payload["args"], kwargs=payload["kwargs"], backend=task.backend,
        errors=[], worker_ids=[job.get("worker") or job["id"]] * job["attempt"])
    if job["state"] == "succeeded":
        object.__setattr__(result, "_return_value", (job.get("result") or {}).get("return_value"))
    elif job["done"]:
        message = (job.get("error") or {}).get("message") or job["state"]
        raised = RAISED.match(message)
        result.errors.append(TaskError(exception_class_path=raised[1] if raised else "longshore.errors.JobFailed",
                                       traceback=message))
    return result


def _time(job: Any, name: str) -> datetime | None:
    whole, _, fraction = job.get(name, "").rstrip("Z").partition(".")
    return datetime.fromisoformat(whole).replace(
        microsecond=int(fraction[:6].ljust(6, "0")), tzinfo=timezone.utc) if whole else None


def run() -> None:
    """Runs the task of this process, as a function of Longshore. An exception is a failed attempt."""
    with open(os.environ["LONGSHORE_PAYLOAD"], encoding="utf-8") as file:
        payload = json.load(file)
    try:
        import django
        django.setup()
        task = import_string(payload["task"])
        job = {"id": os.environ["LONGSHORE_JOB"], "state": "running", "done": False,
               "attempt": int(os.environ["LONGSHORE_ATTEMPT"])}
        context = [TaskContext(task_result=_result(job, task, payload))] if task.takes_context else []
        returned = task.call(*context, *payload["args"], **payload["kwargs"])
        line = json.dumps({"result": {"return_value": returned}}, allow_nan=False)
    except Exception as e:
        traceback.print_exc()
        text = (str(e).splitlines() or [""])[0]
        sys.exit(f"{type(e).__module__}.{type(e).__qualname__}: {text}")
    with open(os.environ["LONGSHORE_CONTROL"], "w", encoding="utf-8") as control:
        control.write(line + "\n")


if __name__ == "__main__":
    run()
