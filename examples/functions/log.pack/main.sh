#!/bin/sh
# A long stream in constant space: stdin is read piece by piece, what is packed goes to
# stdout, and after each piece the job's progress to descriptor 3.
set -eu

pieces() {
    packed=0
    while dd of=piece bs=1M count=4 iflag=fullblock status=none && [ -s piece ]; do
        cat piece
        packed=$((packed + $(wc -c <piece)))
        echo "{\"progress\": {\"done\": $packed, \"total\": $LONGSHORE_INPUT_SIZE, \"note\": \"$((packed >> 20)) MiB\"}}" >&3
    done
    # A pipe's exit code is its last program's: gzip's is 0 after half an input too.
    [ "$packed" -eq "$LONGSHORE_INPUT_SIZE" ] && touch whole
}

pieces | gzip -1
[ -e whole ] || { echo "the input was cut short" >&2; exit 1; }
