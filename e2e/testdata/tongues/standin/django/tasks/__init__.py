from django.tasks.base import task

__all__ = ["task"]
task_backends = {}
