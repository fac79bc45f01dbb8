import os, subprocess, sys, threading, time  # noqa: E401

from longshore import LongshoreFail

keep = []


def handler(event, context):
    do, n = event.get("do"), event.get("n", 0)
    if do == "echo":
        return event
    if do == "about":
        return {"id": context.aws_request_id, "arn": context.invoked_function_arn, "custom": context.custom,
                "left": context.get_remaining_time_in_millis() / 1000, "pid": os.getpid(), "tmp": os.environ["TMPDIR"],
                "name": os.environ["AWS_LAMBDA_FUNCTION_NAME"], "memory": int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]),
                "handler": os.environ["_HANDLER"], "env": [f"{k}={v}" for k, v in os.environ.items()]}
    if do == "error":
        raise ValueError("no luck")
    if do == "fail":
        raise LongshoreFail("never")
    if do == "exit":
        print("last words", file=sys.stderr)
        os._exit(n)
    if do == "sleep":
        time.sleep(n / 1000)
        return "slept"
    if do == "log":
        print("to stdout")
        print("to stderr", file=sys.stderr)
        return None
    if do == "log later":
        threading.Timer(n / 1000, lambda: print("too late", flush=True)).start()
        return None
    if do == "alloc":
        keep.append(bytes(i % 251 for i in range(1024)) * (n * 1024))
        return "filled"
    if do == "leave":
        return subprocess.Popen(["sleep", "1000"]).pid
    if do == "bytes":
        return bytes(n)
    if do == "stream":
        return iter(['{"streamed":', b"true}"])
    if do == "stream error":
        return broken()
    if do == "write":
        with open(context.out + "/answer.txt", "w") as f:
            f.write(event["text"])
        context.progress(1, 4, "a quarter")
        return "written"
    if do == "tell":
        with open(context.custom["control"], "a") as control:
            control.write(event["text"] + "\n")
        return "told"
    if do == "input":
        with open(context.input) as f:
            return f.read()
    if do == "litter":
        open(os.environ["TMPDIR"] + "/litter", "w").close()
        return os.environ["TMPDIR"]
    if do == "list":
        return len(os.listdir(os.environ["TMPDIR"]))
    raise KeyError(f"what is {do}?")


def broken():
    yield "part"
    raise OSError("half way")
