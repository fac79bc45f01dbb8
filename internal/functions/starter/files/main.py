"""A function: reads a payload, says how far it is, prints its result."""
import json
import os
import sys

with open(os.environ["LONGSHORE_PAYLOAD"]) as file:
    payload = json.load(file)
name = payload.get("name", "world")

# What is written to stderr is the job's log.
print(f"greeting {name}", file=sys.stderr)

# Lines of JSON in this file tell progress and more (docs/functions.md).
with open(os.environ["LONGSHORE_CONTROL"], "a") as control:
    control.write(json.dumps({"progress": {"done": 1, "total": 1, "note": "greeted"}}) + "\n")

# Files in LONGSHORE_OUT become the job's outputs.
with open(os.path.join(os.environ["LONGSHORE_OUT"], "greeting.txt"), "w") as out:
    out.write(f"Hello, {name}!\n")

# One JSON value on stdout is the result. Exit 65 fails for good, any other but 0 is retried.
print(json.dumps({"greeting": f"Hello, {name}!"}))
