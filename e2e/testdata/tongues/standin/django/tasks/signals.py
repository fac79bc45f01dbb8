class Signal:
    def __init__(self):
        self.sent = []

    def send(self, sender, **named):
        self.sent.append((sender, named))


task_enqueued = Signal()
