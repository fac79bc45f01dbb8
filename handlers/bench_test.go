package handlers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/handlers/handlerstest"
	"longshore/internal/loggen"
)

// benchmarkLog is a log of about 64 MB, made once.
func benchmarkLog(b *testing.B, o loggen.Options) []byte {
	b.Helper()
	o.Seed, o.Bytes = 1, 64<<20
	log, err := io.ReadAll(loggen.New(o))
	if err != nil {
		b.Fatal(err)
	}
	return log
}

func benchmark(b *testing.B, typ, payload string, input []byte) {
	b.Helper()
	entry, ok := handlers.BuiltIn().Lookup(typ)
	if !ok {
		b.Fatalf("no handler for %s", typ)
	}
	b.SetBytes(int64(len(input)))
	b.ReportAllocs()
	runtime.GC()
	began := cpuTime(b)
	for b.Loop() {
		run, _ := handlerstest.NewRun(typ, input)
		if _, err := entry.Run(b.Context(), run, []byte(payload)); err != nil {
			b.Fatal(err)
		}
	}
	if len(input) > 0 {
		b.ReportMetric(float64(len(input))*float64(b.N)/1e6/(cpuTime(b)-began).Seconds(), "MB/cpu-s")
	}
}

// cpuTime is what the process has used: on a busy machine it says more than the
// clock on the wall.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkLogAnalyze(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		benchmark(b, "log.analyze", `{}`, benchmarkLog(b, loggen.Options{}))
	})
	b.Run("many values", func(b *testing.B) {
		log := benchmarkLog(b, loggen.Options{Addresses: 300_000, Paths: 300_000})
		benchmark(b, "log.analyze", `{}`, log)
	})
}

func BenchmarkChecksum(b *testing.B) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 4<<20)
	for _, payload := range []string{
		`{"algorithms":["sha256"]}`,
		`{"algorithms":["sha256","md5"]}`,
		`{"algorithms":["sha256","sha1","sha512","md5","crc32","crc32c","xxh64"]}`,
	} {
		b.Run(payload, func(b *testing.B) { benchmark(b, "file.checksum", payload, data) })
	}
}

func BenchmarkCompress(b *testing.B) {
	log := benchmarkLog(b, loggen.Options{})
	for _, format := range []string{"gzip", "zstd"} {
		for _, level := range []int{0, 1, 6, 9} {
			name := format + " " + strconv.Itoa(level)
			payload, err := json.Marshal(map[string]any{"format": format, "level": level})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(name, func(b *testing.B) { benchmark(b, "file.compress", string(payload), log) })
		}
	}
}

func BenchmarkPrimes(b *testing.B) {
	benchmark(b, "math.primes", `{"n":100000000}`, nil)
}
