"""Serves a function of Longshore's mode lambda:  python3 longshore.py app.handler

app.py:  def handler(event, context): return {"hello": event["name"]}

What it returns becomes the job's result, as JSON; bytes are taken as they are, an iterator of
bytes or text is streamed. An exception is a failed attempt, LongshoreFail a failure for good."""
import base64, importlib, json, os, socket, sys, time, traceback  # noqa: E401

class LongshoreFail(Exception):
    """Fails the job for good: it is not tried again."""
class Context:
    """What a job is besides its payload. Paths are None where there is nothing."""

    def __init__(self, headers):
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.deadline_ms = int(headers["lambda-runtime-deadline-ms"])
        self.custom = json.loads(headers.get("lambda-runtime-client-context") or "{}").get("custom") or {}
        self.job, self.attempt = self.custom.get("job"), int(self.custom.get("attempt") or 1)
        self.input, self.input_type = self.custom.get("input"), self.custom.get("input_type")
        self.out = self.custom.get("out")  # files in this folder become the job's outputs

    def get_remaining_time_in_millis(self):
        return max(0, self.deadline_ms - int(time.time() * 1000))

    def tell(self, **line):
        """Writes a line to the job's control channel."""
        with open(self.custom["control"], "ab", 0) as control:
            control.write(json.dumps(line).encode() + b"\n")

    def progress(self, done, total=0, note=""):
        self.tell(progress={"done": done, "total": total, "note": note})

    def retry_in(self, duration):
        """Has the job run again later ("30s"), which counts as no attempt."""
        self.tell(retry_in=duration)

    def submit(self, type, payload=None, **controls):
        """Has another job submitted if this one succeeds."""
        self.tell(submit={"type": type, "payload": payload or {}, **controls})

class API:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file, self.host = self.sock.makefile("rb"), address

    def call(self, method, path, body=b"", extra=""):
        head = f"{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: {self.host}\r\n{extra}"
        if isinstance(body, bytes):
            self.sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        else:
            self.stream(head, body)
        headers = {"status": self.file.readline().split(b" ", 2)[1].decode()}
        for line in iter(self.file.readline, b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return headers, self.file.read(int(headers.get("content-length", 0)))

    def stream(self, head, parts):
        kind, text = "Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"
        self.sock.sendall(f"{head}Transfer-Encoding: chunked\r\nTrailer: {kind}, {text}\r\n\r\n".encode())
        trailer = ""
        try:
            for part in parts:
                part = part.encode() if isinstance(part, str) else bytes(part)
                if part:
                    self.sock.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        except Exception as e:
            trailer = f"{kind}: {type(e).__name__}\r\n{text}: {base64.b64encode(describe(e)).decode()}\r\n"
        self.sock.sendall(f"0\r\n{trailer}\r\n".encode())

def describe(e):
    trace = traceback.format_exception(type(e), e, e.__traceback__)
    return json.dumps({"errorType": type(e).__name__, "errorMessage": str(e), "stackTrace": trace}).encode()

def main(name):
    sys.stdout.reconfigure(line_buffering=True)
    api = API(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        module, _, attribute = name.replace("/", ".").rpartition(".")
        handler = getattr(importlib.import_module(module), attribute)
    except BaseException as e:
        api.call("POST", "init/error", describe(e))
        raise
    while True:
        headers, event = api.call("GET", "invocation/next")
        path = "invocation/" + headers["lambda-runtime-aws-request-id"]
        try:
            answer = handler(json.loads(event), Context(headers))
            if not isinstance(answer, bytes) and not hasattr(answer, "__next__"):
                answer = json.dumps(answer, separators=(",", ":")).encode()
        except Exception as e:
            api.call("POST", path + "/error", describe(e))
        else:
            api.call("POST", path + "/response", answer)

if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ["_HANDLER"])
