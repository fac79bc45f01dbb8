import asyncio
import enum
import inspect
import json
from dataclasses import dataclass, field, replace


class TaskResultStatus(enum.Enum):
    READY, RUNNING, FAILED, SUCCESSFUL = "READY", "RUNNING", "FAILED", "SUCCESSFUL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    priority: int
    func: object
    backend: str
    queue_name: str
    run_after: object
    takes_context: bool = False

    def __post_init__(self):
        self.get_backend().validate_task(self)

    def using(self, **changes):
        return replace(self, **{k: v for k, v in changes.items() if v is not None})

    def get_backend(self):
        from django.tasks import task_backends
        return task_backends[self.backend]

    def enqueue(self, *args, **kwargs):
        return self.get_backend().enqueue(self, args, kwargs)

    def call(self, *args, **kwargs):
        value = self.func(*args, **kwargs)
        return asyncio.run(value) if inspect.iscoroutine(value) else value

    @property
    def module_path(self):
        return f"{self.func.__module__}.{self.func.__qualname__}"


def task(function=None, *, priority=0, queue_name="default", backend="default", takes_context=False):
    def wrap(f):
        return Task(priority=priority, func=f, queue_name=queue_name, backend=backend, run_after=None,
                    takes_context=takes_context)
    return wrap(function) if function else wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    exception_class_path: str
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    task: Task
    id: str
    status: TaskResultStatus
    enqueued_at: object
    started_at: object
    finished_at: object
    last_attempted_at: object
    args: list
    kwargs: dict
    backend: str
    errors: list
    worker_ids: list
    _return_value: object = field(init=False, default=None)

    def __post_init__(self):
        object.__setattr__(self, "args", json.loads(json.dumps(self.args)))

    @property
    def return_value(self):
        if self.status is not TaskResultStatus.SUCCESSFUL:
            raise ValueError("no value")
        return self._return_value


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    task_result: TaskResult

    @property
    def attempt(self):
        return len(self.task_result.worker_ids)
