"""An app with tasks, as Django's users have them."""

import os

from django.tasks import task, task_backends
from longshore.django import LongshoreBackend

task_backends["default"] = LongshoreBackend("default", {"QUEUES": ["default"], "OPTIONS": {
    "URL": os.environ.get("LONGSHORE_URL", "http://127.0.0.1:1"), "TOKEN": os.environ.get("LONGSHORE_TOKEN"),
    "CONTROLS": {"max_attempts": 1}}})


@task
def add(a, b, *, extra=0):
    print("adding")
    return {"sum": a + b + extra}


@task(takes_context=True)
async def attempts(context):
    return [context.attempt, context.task_result.id]


@task
def broken(key):
    raise LookupError(f"no {key}\nat all")
