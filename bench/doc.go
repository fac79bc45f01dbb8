// Package bench compares Longshore with what it is built on: stock asynq with
// its defaults and with its best settings, on the same Redis, interleaved in
// one run. `make bench` runs it; docs/performance.md says what came out.
package bench
