package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/submit"
	"longshore/internal/tracing"
	"longshore/job"
	"longshore/tasks"
	"longshore/worker"
)

// A misdeed is what a job of type test.misdeed does.
type misdeed struct {
	Do string `json:"do"`
	N  int64  `json:"n,omitempty"`
}

var (
	misdeeds = tasks.Definition[misdeed]{Type: "test.misdeed", Lane: job.LaneCPU, MaxAttempts: 1}
	shout    = tasks.Definition[word]{Type: "test.shout", Lane: job.LaneCPU, Input: tasks.InputRequired}
)

// childHandlers are the handlers that children of the test process have.
func childHandlers() *handlers.Registry {
	r := handlers.BuiltIn()
	misbehave := func(ctx context.Context, run *handlers.Run, m misdeed) (any, error) {
		do, ok := deeds[m.Do]
		if !ok {
			return nil, handlers.Fail(fmt.Errorf("no deed %q", m.Do))
		}
		return do(ctx, run, m)
	}
	handlers.Add(r, misdeeds, misbehave)
	handlers.Add(r, lonely, misbehave)
	handlers.Add(r, shout, func(ctx context.Context, run *handlers.Run, w word) (any, error) {
		in, err := run.Input(ctx)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		text, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		out, err := run.Output(ctx, "loud.txt", "text/plain")
		if err != nil {
			return nil, err
		}
		defer out.Abort()
		fmt.Fprint(out, strings.ToUpper(string(text)), w.Word)
		dropped, err := run.Output(ctx, "dropped.txt", "")
		if err != nil {
			return nil, err
		}
		fmt.Fprint(dropped, "never committed")
		run.Records(7)
		return map[string]int{"pid": os.Getpid(), "bytes": len(text)}, out.Commit()
	})
	return r
}

type deed func(ctx context.Context, run *handlers.Run, m misdeed) (any, error)

// deeds are what handlers do; those that need Linux are added there.
var deeds = map[string]deed{
	"pid": func(context.Context, *handlers.Run, misdeed) (any, error) {
		return map[string]int{"pid": os.Getpid()}, nil
	},
	"env": func(context.Context, *handlers.Run, misdeed) (any, error) {
		return map[string]string{"url": os.Getenv("TEST_DATABASE_URL"),
			"other": os.Getenv("TEST_OTHER_URL")}, nil
	},
	"trace": func(ctx context.Context, run *handlers.Run, _ misdeed) (any, error) {
		return []string{run.Traceparent, tracing.From(ctx)}, nil
	},
	"obey": func(ctx context.Context, run *handlers.Run, _ misdeed) (any, error) {
		run.Note("waits")
		<-ctx.Done()
		return nil, context.Cause(ctx)
	},
	"wait": func(ctx context.Context, _ *handlers.Run, m misdeed) (any, error) {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Duration(m.N) * time.Millisecond):
			return "waited", nil
		}
	},
	"loop": func(context.Context, *handlers.Run, misdeed) (any, error) {
		for n := 0; ; n++ {
			_ = n
		}
	},
	"exit": func(_ context.Context, _ *handlers.Run, m misdeed) (any, error) {
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(int(m.N))
		return nil, nil
	},
	"signal": func(_ context.Context, _ *handlers.Run, m misdeed) (any, error) {
		syscall.Kill(os.Getpid(), syscall.Signal(m.N))
		select {}
	},
	"panic": func(context.Context, *handlers.Run, misdeed) (any, error) { panic("as ordered") },
	"panic elsewhere": func(context.Context, *handlers.Run, misdeed) (any, error) {
		go panic("in another goroutine")
		select {}
	},
	"allocate": func(_ context.Context, _ *handlers.Run, m misdeed) (any, error) {
		b := make([]byte, m.N<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		runtime.KeepAlive(b)
		return nil, nil
	},
	"fail": func(context.Context, *handlers.Run, misdeed) (any, error) {
		return nil, errors.New("not today")
	},
	"final": func(context.Context, *handlers.Run, misdeed) (any, error) {
		return nil, handlers.FailWith(job.StepLimit, errors.New("too many steps"))
	},
	"later": func(_ context.Context, run *handlers.Run, m misdeed) (any, error) {
		flag := filepath.Join(os.TempDir(), "..", string(run.ID))
		if _, err := os.Stat(flag); err == nil {
			return "later", os.Remove(flag)
		}
		if err := os.WriteFile(flag, nil, 0o600); err != nil {
			return nil, err
		}
		return nil, handlers.After(10 * time.Millisecond)
	},
	"environment": func(context.Context, *handlers.Run, misdeed) (any, error) {
		slog.Info("environment told", "size", len(os.Environ()))
		return os.Environ(), nil
	},
}

func (b bench) run(t *testing.T, m misdeed, timeout time.Duration) job.Snapshot {
	t.Helper()
	snap := b.submit(t, submit.Request{Type: misdeeds.Type, Payload: fmt.Appendf(nil, `{"do":%q,"n":%d}`,
		m.Do, m.N), Timeout: timeout})
	return b.await(t, snap.ID, ended)
}

// TestChildIsTraced wants a handler in a child to know whose trace it is of, in Run and in its context.
func TestChildIsTraced(t *testing.T) {
	t.Parallel()
	b := setup(t, worker.Config{CPUConcurrency: 1}, childHandlers())
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for trace, want := range map[string]string{trace: `["` + trace + `","` + trace + `"]`, "": `["",""]`} {
		snap, _, err := b.submitter.Submit(tracing.With(t.Context(), trace),
			submit.Request{Type: misdeeds.Type, Payload: []byte(`{"do":"trace"}`)})
		if err != nil {
			t.Fatal(err)
		}
		if snap = b.await(t, snap.ID, ended); string(snap.Result) != want {
			t.Errorf("%s, want %s", snap.Result, want)
		}
	}
}

func TestChildBringsInputAndOutput(t *testing.T) {
	t.Parallel()
	b := setup(t, worker.Config{CPUConcurrency: 1}, childHandlers())
	snap := b.submit(t, submit.Request{Type: shout.Type, Payload: []byte(`{"word":"!"}`),
		Input: strings.NewReader("ahoy"), InputSize: -1})
	snap = b.await(t, snap.ID, ended)
	if snap.State != job.Succeeded || len(snap.Outputs) != 1 || snap.Outputs[0].Size != 5 ||
		snap.Outputs[0].Name != "loud.txt" ||
		snap.Progress.BytesDone != 4 || snap.Progress.Records != 7 || snap.Usage.PeakRSSBytes < 1<<20 {
		t.Fatalf("job ended as %+v %+v", snap, snap.Error)
	}
	out, err := b.sys.Blobs.Open(t.Context(), snap.Outputs[0].Blob)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if text, _ := io.ReadAll(out); string(text) != "AHOY!" {
		t.Errorf("output is %q", text)
	}
}

// TestOutcomes holds the words for each way a job of lane cpu can end.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	b := setup(t, worker.Config{CPUConcurrency: 1, KillGrace: 200 * time.Millisecond, ChildMemory: 256 << 20},
		childHandlers())
	for _, c := range []struct {
		m       misdeed
		timeout time.Duration
		code    job.Code
		message string
	}{
		{misdeed{Do: "fail"}, 0, job.HandlerError, "not today"},
		{misdeed{Do: "final"}, 0, job.StepLimit, "too many steps"},
		{misdeed{Do: "panic"}, 0, job.HandlerError, "handler panicked"},
		{misdeed{Do: "panic elsewhere"}, 0, job.Crashed, "exit code 2"},
		{misdeed{Do: "exit", N: 3}, 0, job.Crashed, "exit code 3"},
		{misdeed{Do: "exit"}, 0, job.Crashed, "exit code 0"},
		{misdeed{Do: "signal", N: int64(syscall.SIGKILL)}, 0, job.Crashed, "SIGKILL"},
		// Go's runtime catches it
		{misdeed{Do: "signal", N: int64(syscall.SIGSEGV)}, 0, job.Crashed, "exit code 2"},
		{misdeed{Do: "loop"}, 300 * time.Millisecond, job.Timeout, "300ms"},
		{misdeed{Do: "obey"}, 300 * time.Millisecond, job.Timeout, "300ms"},
		{misdeed{Do: "allocate", N: 10 << 10}, 0, job.OutOfMemory, "memory"},
	} {
		began := time.Now()
		snap := b.run(t, c.m, c.timeout)
		if snap.State != job.Failed || snap.Error.Code != c.code ||
			!strings.Contains(snap.Error.Message, c.message) {
			t.Errorf("%+v ended as %s %+v, want %s", c.m, snap.State, snap.Error, c.code)
		}
		if snap.Attempt != 1 || snap.Usage == nil {
			t.Errorf("%+v ended as %+v", c.m, snap)
		}
		t.Logf("%v took %v, usage %+v, error %+v", c.m, time.Since(began), *snap.Usage, *snap.Error)
		next := time.Now()
		if snap := b.run(t, misdeed{Do: "pid"}, 0); snap.State != job.Succeeded {
			t.Errorf("the job after %+v ended as %+v", c.m, snap.Error)
		}
		if took := time.Since(next); took > 20*time.Second {
			t.Errorf("the job after %+v took %v", c.m, took)
		}
	}
}

func TestImageInAChild(t *testing.T) {
	t.Parallel()
	var photo bytes.Buffer
	if err := png.Encode(&photo, image.NewRGBA(image.Rect(0, 0, 300, 200))); err != nil {
		t.Fatal(err)
	}
	b := setup(t, worker.Config{CPUConcurrency: 1}, childHandlers())
	snap := b.submit(t, submit.Request{Type: tasks.ImageResize.Type,
		Payload: []byte(`{"sizes":[{"width":60},{"width":30}]}`), Input: &photo, InputSize: -1})
	snap = b.await(t, snap.ID, ended)
	if snap.State != job.Succeeded || len(snap.Outputs) != 2 {
		t.Errorf("ended as %+v, %+v", snap, snap.Error)
	}
}
