package within

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore/cmd/internal/cli"
	"longshore/cmd/internal/program"
	"longshore/config"
	"longshore/internal/connect"
	"longshore/internal/localredis/redistest"
)

// benchLines is the length of a batch that is measured.
const benchLines = 100_000

// BenchmarkBatch sends a file of lines through the command, with its journal:
// straight to Redis, and to a web server in the same process.
func BenchmarkBatch(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	file := filepath.Join(b.TempDir(), "jobs.ndjson")
	var text strings.Builder
	for i := range benchLines {
		fmt.Fprintf(&text, `{"type":"math.primes","payload":{"n":%d},"priority":"low"}`+"\n", 100+i)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Run("direct", func(b *testing.B) {
		env := map[string]string{"REDIS_URL": redistest.URL(b), "BLOB_URL": "file://" + b.TempDir()}
		measure(b, file, env)
	})
	b.Run("http", func(b *testing.B) {
		env := map[string]string{"REDIS_URL": redistest.URL(b), "BLOB_URL": "file://" + b.TempDir()}
		env["LONGSHORE_URL"] = serveWeb(b, env)
		measure(b, file, env)
	})
}

func measure(b *testing.B, file string, env map[string]string) {
	for b.Loop() {
		env["PREFIX"] = redistest.Prefix(b)
		journal := filepath.Join(b.TempDir(), "journal")
		args := []string{"batch", file, "--journal", journal}
		if err := cli.Run(b.Context(), args, func(name string) string { return env[name] }, nil, io.Discard,
			io.Discard, New()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(benchLines*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(0, "ns/op")
}

// serveWeb runs a web server until the benchmark ends, and returns its address.
func serveWeb(tb testing.TB, env map[string]string) string {
	settings, err := config.LoadWeb(func(name string) string { return env[name] })
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	sys, err := connect.Open(tb.Context(), program.Connection(settings.Redis, settings.Blobs, settings.Jobs,
		settings.Space, log))
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	settings.Stop.Grace = 5 * time.Second
	go func() {
		ended <- program.Web(ctx, sys, settings.HTTP, settings.Jobs, settings.Deployed, settings.Stop, l,
			nil, nil)
	}()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		sys.Close()
	})
	return "http://" + l.Addr().String()
}
