package exec

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/functions"
	"longshore/job"
)

// bench is a function that is a program of the system.
type bench struct {
	functions.Executor
	host *functions.Host
}

func setup(b testing.TB, program string) *bench {
	b.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		b.Skip("needs ", program)
	}
	f := &functions.Function{Type: "test.exec", Folder: b.TempDir(), Command: []string{path},
		Manifest: functions.Manifest{Mode: functions.Exec, InputAs: functions.InputStdin,
			Output: functions.Output{As: functions.OutputNamed, Name: "out"}}}
	h := &functions.Host{Slots: map[job.Lane]int{job.LaneCPU: 2}, Memory: 512 << 20, MaxOutput: 1 << 40,
		KillGrace: time.Second, Base: b.TempDir(), Log: slog.New(slog.DiscardHandler),
		Getenv: func(string) string { return "" }}
	e, err := Open(f, h)
	if err != nil {
		b.Fatal(err)
	}
	return &bench{e, h}
}

// nothing keeps no files; input is so many zeros.
type nothing struct{ input int64 }

func (n nothing) Input(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(zeros{}, n.input)), nil
}

func (nothing) Output(context.Context, string, string) (handlers.Output, error) {
	return dropped{}, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

type dropped struct{}

func (dropped) Write(p []byte) (int, error) { return len(p), nil }
func (dropped) Commit() error               { return nil }
func (dropped) Abort() error                { return nil }

func (x *bench) do(b testing.TB, input int64) {
	if err := x.try(b.Context(), b, input); err != nil {
		b.Fatal(err)
	}
}

// try does a job, and returns what it came to.
func (x *bench) try(ctx context.Context, b testing.TB, input int64) error {
	folder, err := os.MkdirTemp(x.host.Base, "job-")
	if err != nil {
		b.Fatal(err)
	}
	o := x.Run(ctx, &functions.Attempt{HasInput: input > 0, Folder: folder, Payload: []byte("{}"),
		Deadline: time.Now().Add(time.Minute),
		Run:      &handlers.Run{ID: "job-1", Type: "test.exec", InputSize: input, Files: nothing{input}}})
	if err := os.RemoveAll(folder); err != nil {
		b.Error(err)
	}
	return o.Err
}

// BenchmarkTrue is a job whose program does nothing, in the sandbox, beside fork and exec of
// the same program.
func BenchmarkTrue(b *testing.B) {
	x := setup(b, "true")
	b.Run("job", func(b *testing.B) {
		for b.Loop() {
			x.do(b, 0)
		}
	})
	b.Run("fork", func(b *testing.B) {
		path, err := exec.LookPath("true")
		if err != nil {
			b.Skip("needs true")
		}
		for b.Loop() {
			if err := exec.Command(path).Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkThrough is what goes through a program, from stdin to stdout.
func BenchmarkThrough(b *testing.B) {
	const size = 256 << 20
	x := setup(b, "cat")
	b.SetBytes(size)
	for b.Loop() {
		x.do(b, size)
	}
}
