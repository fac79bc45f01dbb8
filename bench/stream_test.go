package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/loggen"
	"longshore/job"
	"longshore/worker"
)

// streamMB is the size of the inputs of BenchmarkStreamJob.
var streamMB = flag.Int64("stream-mb", 100, "size of a stream's input in MB")

// BenchmarkStreamJob compares what the handlers of stream tasks cost on plain
// files, their output digested and synced, with what they cost as jobs through
// Redis and a worker: the process's CPU time and that of Redis, in turn, the least of
// all rounds. What remains is records, tickets, leases, progress and the blob store.
func BenchmarkStreamJob(b *testing.B) {
	if !redistest.Real() {
		b.Skip("needs a redis-server")
	}
	size := *streamMB << 20
	for _, work := range []struct {
		typ, payload string
		input        io.Reader
	}{
		{"file.checksum", `{}`, loggen.New(loggen.Options{Seed: 1, Bytes: size})},
		{"ndjson.filter", `{"filter":".status >= 500"}`, loggen.Rows{Seed: 1, Bytes: size}.NDJSON()},
		{"csv.to_ndjson", `{}`, loggen.Rows{Seed: 1, Bytes: size}.CSV()},
		{"file.compress", `{"format":"gzip"}`, loggen.New(loggen.Options{Seed: 1, Bytes: size})},
	} {
		b.Run(work.typ, func(b *testing.B) {
			sys, where := open(b, 8)
			name := "bench/in"
			w, err := sys.Blobs.Create(b.Context(), name)
			if err != nil {
				b.Fatal(err)
			}
			plain := filepath.Join(b.TempDir(), "in")
			f, err := os.Create(plain)
			if err != nil {
				b.Fatal(err)
			}
			n, err := io.Copy(io.MultiWriter(w, f), work.input)
			if err != nil {
				b.Fatal(errors.Join(err, f.Close(), w.Abort()))
			}
			info, err := w.Commit()
			if err := errors.Join(err, f.Close()); err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			ready := make(chan struct{})
			wg.Go(func() {
				worker.Run(ctx, worker.Config{Connection: where, Lanes: []job.Lane{job.LaneIO},
					Ready: func() { close(ready) }}, handlers.BuiltIn())
			})
			defer wg.Wait()
			defer stop()
			<-ready

			var bare, jobs costs
			for b.Loop() {
				measure := startCost(b, sys.Redis)
				runBare(b, work.typ, work.payload, plain, n)
				bare = append(bare, measure(1))
				measure = startCost(b, sys.Redis)
				runJob(b, sys,
					jobstore.NewJob{Type: work.typ, Spec: jobstore.Spec{Payload: []byte(work.payload),
						Input: &jobstore.Input{Blob: name, Size: n, SHA256: info.SHA256}}})
				jobs = append(jobs, measure(1))
			}
			cpu := func(c cost) float64 { return (c.process + c.redis).Seconds() * 1e3 }
			wall := func(c cost) float64 { return c.wall.Seconds() * 1e3 }
			b.SetBytes(n)
			b.ReportMetric(bare.least(cpu), "bare_cpu_ms")
			b.ReportMetric(jobs.least(cpu), "job_cpu_ms")
			b.ReportMetric(100*(jobs.least(cpu)/bare.least(cpu)-1), "cpu_%")
			b.ReportMetric(100*(jobs.least(wall)/bare.least(wall)-1), "wall_%")
			b.ReportMetric(float64(n)/1e3/bare.least(cpu), "bare_MB/cpu_s")
		})
	}
}

func (c costs) least(f func(cost) float64) float64 {
	var v []float64
	for _, one := range c {
		v = append(v, f(one))
	}
	return slices.Min(v)
}

// runBare runs a built-in handler from file to file.
func runBare(b *testing.B, typ, payload, input string, size int64) {
	entry, _ := handlers.BuiltIn().Lookup(typ)
	run := &handlers.Run{ID: job.NewID(time.Now()), Type: typ, Attempt: 1, InputSize: size,
		Files: plainFiles{input}}
	if _, err := entry.Run(b.Context(), run, []byte(payload)); err != nil {
		b.Fatal(err)
	}
}

// plainFiles are a run's files without a blob store.
type plainFiles struct{ input string }

func (f plainFiles) Input(context.Context) (io.ReadCloser, error) { return os.Open(f.input) }

func (f plainFiles) Output(context.Context, string, string) (handlers.Output, error) {
	out, err := os.Create(f.input + ".out")
	if err != nil {
		return nil, err
	}
	return &plainOutput{out, sha256.New()}, nil
}

type plainOutput struct {
	file   *os.File
	digest hash.Hash
}

func (o *plainOutput) Write(p []byte) (int, error) {
	o.digest.Write(p)
	return o.file.Write(p)
}
func (o *plainOutput) Commit() error { return errors.Join(o.file.Sync(), o.file.Close()) }

// after Commit too: the next run writes anew
func (o *plainOutput) Abort() error { o.file.Close(); return os.Remove(o.file.Name()) }

// runJob submits one job and waits for its end.
func runJob(b *testing.B, sys *connect.System, n jobstore.NewJob) {
	n.ID, n.Lane, n.Priority, n.Timeout, n.MaxAttempts, n.Retention = job.NewID(time.Now()), job.LaneIO,
		job.Default, time.Hour, 1, time.Hour
	n.Digest = "00000000000000000000000000000000"
	ctx, stop := context.WithTimeout(b.Context(), 5*time.Minute)
	defer stop()
	moved := make(chan struct{}, 1)
	again := func() {
		select {
		case moved <- struct{}{}:
		default:
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		sys.Store.Listen(ctx, func(r job.Rev) {
			if r.ID == n.ID {
				again()
			}
		}, again)
	})
	defer wg.Wait()
	defer stop()
	if _, errs := sys.Store.CreateMany(ctx, []jobstore.NewJob{n}); errs[0] != nil {
		b.Fatal(errs[0])
	}
	for {
		snap, err := sys.Store.Get(ctx, n.ID)
		if err != nil {
			b.Fatal(err)
		}
		if snap.Done {
			if snap.State != job.Succeeded {
				b.Fatalf("job ended as %+v", snap)
			}
			for _, o := range snap.Outputs { // else the disk fills
				if err := sys.Blobs.Delete(ctx, string(snap.ID)); err != nil {
					b.Fatal(o.Name, err)
				}
			}
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			b.Fatal(context.Cause(ctx))
		}
	}
}
