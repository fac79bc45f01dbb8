"""The roles of Celery; see doc.go."""
import os
import sys
import threading
import time

from celery import Celery
from celery.signals import worker_ready

app = Celery("bench", broker=os.environ["TARGET"])
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    worker_redirect_stdouts=False,
    task_serializer="json",
    worker_disable_rate_limits=True,
    broker_connection_retry_on_startup=True,
)

done = 0
last = 0
due = False


def say(line):
    os.write(1, (line + "\n").encode())


def report():
    global due
    due = False
    say("done %d %d %d" % (os.getpid(), done, last))


@app.task(name="bench.noop")
def noop(t):
    global done, last, due
    last = time.time_ns()
    done += 1
    if not due:
        due = True
        threading.Timer(0.01, report).start()
    if t > 0:
        say("late %d" % (last - t))


@worker_ready.connect
def ready(**_):
    say("ready")


if __name__ == "__main__":
    role, count = sys.argv[1], int(sys.argv[2])
    if role == "work":
        app.worker_main(["worker", "-c", str(count), "-l", "ERROR", "--without-gossip", "--without-mingle",
                         "--without-heartbeat", "-O", "fair"])
    elif role == "bulk":
        with app.producer_pool.acquire(block=True) as producer:
            began = time.time_ns()
            for _ in range(count):
                noop.apply_async((0,), producer=producer)
            say("took %d" % (time.time_ns() - began))
    else:
        for _ in range(count):
            time.sleep(int(sys.argv[3]) / 1000)
            noop.apply_async((time.time_ns(),))
