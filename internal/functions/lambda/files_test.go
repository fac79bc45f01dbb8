package lambda

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/family"
	"longshore/job"
)

func (f *memoryFiles) Input(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(f.input)), nil
}

func (f *memoryFiles) Output(_ context.Context, name, _ string) (handlers.Output, error) {
	return &memoryOutput{files: f, name: name}, nil
}

func (o *memoryOutput) Write(p []byte) (int, error) {
	if o.Len()+len(p) > 1<<20 {
		return 0, handlers.FailWith(job.OutputLimit, errors.New("outputs are over 1048576 bytes"))
	}
	return o.Builder.Write(p)
}

func (o *memoryOutput) Commit() error {
	o.files.mu.Lock()
	defer o.files.mu.Unlock()
	o.files.outputs[o.name] = o.String()
	return nil
}

func (o *memoryOutput) Abort() error { return nil }

// TestFilesAndWords holds that input, outputs and the channel are as in mode exec.
func TestFilesAndWords(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, command []string, folder string) {
		b := setup(t, command, folder)
		b.ok(`{"do":"write","text":"hello"}`, nil)
		if c := b.run.Load().Counts(); b.files.outputs["answer.txt"] != "hello" || c.Done != 1 ||
			c.Total != 4 || c.Note != "a quarter" {
			t.Errorf("outputs %v, counts %+v", b.files.outputs, c)
		}
		b.files.input = "some input"
		var text string
		if b.ok(`{"do":"input"}`, &text); text != "some input" {
			t.Errorf("input %q", text)
		}
		var a about
		if b.ok(`{"do":"about"}`, &a); a.Custom["input_type"] != "text/plain" ||
			a.Custom["input_name"] != `näme\u001b.txt` {
			t.Errorf("client context %v", a.Custom)
		}
		b.files.input = ""
		if out, _ := b.do(t.Context(), `{"do":"tell","text":"{\"result\":{\"a\":1}}"}`); out.Err != nil ||
			string(out.Result) != `{"a":1}` {
			t.Errorf("a result by the channel: %s %v", out.Result, out.Err)
		}
		out, _ := b.do(t.Context(), `{"do":"tell","text":"{\"retry_in\":\"30s\"}"}`)
		if later := (*handlers.Postponement)(nil); !errors.As(out.Err, &later) ||
			later.Delay != 30*time.Second {
			t.Errorf("retry_in: %v", out.Err)
		}
		out, _ = b.do(t.Context(), `{"do":"tell","text":"{\"fail\":\"no\"}"}`)
		if f := (*handlers.Failure)(nil); !errors.As(out.Err, &f) || !f.Final || f.Error() != "no" {
			t.Errorf("fail: %v", out.Err)
		}
		out, _ = b.do(t.Context(), `{"do":"tell","text":"{\"submit\":{\"type\":\"a.b\"}}"}`)
		if out.Err != nil || len(out.Submit) != 1 {
			t.Errorf("submit: %s %v", out.Submit, out.Err)
		}
	})
}

// TestLongAnswers holds what becomes of answers that are no result: an output, and a
// failure at once where there is too much, which the process survives.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, command []string, folder string) {
		b := setup(t, command, folder)
		var before about
		b.ok(`{"do":"about"}`, &before)
		if out, _ := b.do(t.Context(), `{"do":"bytes","n":200000}`); out.Err != nil ||
			len(b.files.outputs["output"]) != 200_000 {
			t.Errorf("%v, %d bytes", out.Err, len(b.files.outputs["output"]))
		}
		b.name = filepath.Base(folder)
		if len(command) == 1 {
			b.name = "go"
		}
		began := time.Now()
		out, _ := b.do(t.Context(), `{"do":"bytes","n":50000000}`)
		if f := (*handlers.Failure)(nil); !errors.As(out.Err, &f) || f.Code != job.OutputLimit || !f.Final ||
			// Go's client streams
			!strings.Contains(f.Error(), "1048576") || b.name != "go" &&
			!strings.Contains(f.Error(), "50000000") {
			t.Errorf("too long: %v", out.Err)
		}
		t.Logf("failed after %v: %v", time.Since(began), out.Err)
		if b.ok(`{"do":"about"}`, nil); !family.Alive(before.PID) {
			t.Error("the process is gone")
		}
	})
}

// memoryFiles are a run's files in memory.
type memoryFiles struct {
	once    sync.Once
	input   string
	mu      sync.Mutex
	outputs map[string]string
}

type memoryOutput struct {
	strings.Builder
	files *memoryFiles
	name  string
}
