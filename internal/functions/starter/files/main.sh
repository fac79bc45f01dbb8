# A function: reads a payload, says how far it is, prints its result.
set -eu

# A shell has no JSON of its own: this takes one simple text out of the payload. For more,
# use jq where it is installed.
name=$(sed -n 's/.*"name":"\([^"\\]*\)".*/\1/p' "$LONGSHORE_PAYLOAD")
name=${name:-world}

# What is written to stderr is the job's log.
echo "greeting $name" >&2

# Lines of JSON in this file tell progress and more (docs/functions.md).
echo '{"progress": {"done": 1, "total": 1, "note": "greeted"}}' >> "$LONGSHORE_CONTROL"

# Files in LONGSHORE_OUT become the job's outputs.
echo "Hello, $name!" > "$LONGSHORE_OUT/greeting.txt"

# One JSON value on stdout is the result. Exit 65 fails for good, any other but 0 is retried.
printf '{"greeting":"Hello, %s!"}\n' "$name"
