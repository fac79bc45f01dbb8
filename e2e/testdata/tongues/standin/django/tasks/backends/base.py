from django.tasks.exceptions import InvalidTask


class BaseTaskBackend:
    supports_defer = supports_async_task = supports_get_result = supports_priority = False

    def __init__(self, alias, params):
        self.alias, self.options = alias, params.get("OPTIONS", {})
        self.queues = set(params.get("QUEUES", ["default"]))

    def validate_task(self, task):
        if task.queue_name not in self.queues or task.run_after and not self.supports_defer:
            raise InvalidTask(task.queue_name)
