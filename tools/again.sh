#!/bin/sh
# Runs the tests that failed once more, alone: again.sh LOG ARGUMENT…, LOG being what `go test` printed and the
# arguments those of `go test`. Tests here drive browsers, kill programs and wait for clocks, several at a time on
# few cores; what passes alone is told as "passed alone" and still stands in the log. Nothing is forgiven
# that a busy machine does not explain: a data race, a panic, goroutines left behind, what does not
# compile, a package that failed without naming a test, more than five tests.
set -eu
log=$1
shift

if grep -nE 'DATA RACE|^panic:|^fatal error:|unexpected goroutines|build failed|setup failed' "$log"; then
	exit 1
fi

# Lines "package test|test|…": the names stand before the line of their package.
failed=$(awk '
	/^--- FAIL: / { names = names (names == "" ? "" : "|") $3; n++ }
	/^FAIL\t/ { print $2, (names == "" ? "-" : names); names = "" }
	END { if (n > 5) print "- too many" }
' "$log")
case "$failed" in
'' | *' -' | *' -
'* | *'- too many')
	echo "what failed is not run again: ${failed:-nothing is named}"
	exit 1
	;;
esac

echo "$failed" | while read -r package names; do
	echo "== alone: $names of $package"
	go test "$@" -count=1 -run "^($names)\$" "$package"
	echo "== passed alone: $names of $package"
done
