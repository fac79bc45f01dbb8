package work

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"longshore/answer"
	"longshore/client"
	"longshore/handlers"
	"longshore/internal/claimer"
	"longshore/internal/functions"
	"longshore/internal/isolate"
)

// A host runs the program, once a job.
type host struct {
	client   *client.Client
	log      *slog.Logger
	folders  *isolate.Folders
	slots    chan int
	host     functions.Host
	executor functions.Executor
}

// do runs one attempt.
func (h *host) do(ctx context.Context, j *claimer.Job) client.FinishJob {
	slot := <-h.slots
	defer func() { h.slots <- slot }()
	folder, err := h.folders.New()
	if err != nil {
		h.log.ErrorContext(ctx, "there is no room for a job", "error", err)
		return client.FinishJob{Release: true}
	}
	defer func() {
		if err := h.folders.Remove(folder); err != nil {
			h.log.WarnContext(ctx, "work folder stays until the end", "error", err)
		}
	}()
	files := &files{host: h, job: j, made: map[string]client.ClaimedOutput{}}
	run := &handlers.Run{ID: j.ID, Type: j.Type, Attempt: j.Attempt, After: j.After,
		Traceparent: j.Traceparent, Files: files}
	a := &functions.Attempt{Run: run, MaxAttempts: j.MaxAttempts, Deadline: j.Deadline, Payload: j.Payload,
		Folder: folder, Slot: slot, Log: func(l functions.Line) { j.AddLog(l.Text) }}
	if in := j.Input; in != nil {
		a.HasInput, a.InputSize, a.InputType, a.InputName = true, in.Size, in.Type, in.Name
	}
	told := make(chan struct{})
	working, end := context.WithCancelCause(ctx)
	go func() {
		defer close(told)
		var said answer.ClaimProgress
		functions.Follow(working, run, followEvery, func(c handlers.Counts) {
			if now := progressOf(c); now != said { // it has less than what is counted
				said = now
				j.SetProgress(now)
			}
		})
	}()
	o := h.executor.Run(ctx, a)
	end(nil)
	<-told
	if o.Err == nil && len(o.Submit) > 0 {
		o.Err = h.submit(ctx, j, o.Submit)
	}
	if o.Err != nil {
		return h.judge(ctx, j, o)
	}
	return client.FinishJob{Result: orNull(o.Result), Outputs: files.all()}
}

func orNull(result []byte) []byte {
	if result == nil {
		return []byte("null")
	}
	return result
}

// judge says what an attempt that has not succeeded came to.
func (h *host) judge(ctx context.Context, j *claimer.Job, o functions.Outcome) client.FinishJob {
	var failure *handlers.Failure
	var later *handlers.Postponement
	var death *isolate.Death
	why := &answer.ClaimFailure{Message: o.Err.Error()}
	switch {
	case errors.Is(o.Err, functions.ErrNotStarted), errors.Is(o.Err, functions.ErrReleased):
		return client.FinishJob{Release: true}
	case errors.As(o.Err, &later):
		return client.FinishJob{RetryIn: later.Delay.String()}
	case errors.As(o.Err, &failure) && failure.Final:
		return client.FinishJob{Fail: why}
	case errors.As(o.Err, &death):
		why.Code = functions.CodeOf(death)
	}
	if ctx.Err() == nil {
		h.log.WarnContext(ctx, "an attempt has failed", "job", j.ID, "type", j.Type, "attempt", j.Attempt, "error", o.Err)
	}
	return client.FinishJob{Error: why}
}

// submit submits the jobs that the program has asked for, each under a key of the job's id and its place,
// so that a repeat submits nothing twice.
func (h *host) submit(ctx context.Context, j *claimer.Job, asked []json.RawMessage) error {
	lines := make([][]byte, len(asked))
	for i, text := range asked {
		var line map[string]json.RawMessage
		if err := json.Unmarshal(text, &line); err != nil {
			return handlers.Fail(fmt.Errorf("submit line %d: %w", i+1, err))
		}
		if line["id"] == nil {
			line["idempotency_key"], _ = json.Marshal(functions.SubmitKey(j.ID, i+1)) // a text: can't fail
		}
		lines[i], _ = json.Marshal(line) // it was JSON
	}
	for made, err := range h.client.SubmitLines(ctx, lines) {
		if err != nil {
			return err
		}
		if err := functions.Submitted(made, func() {
			j.AddLog(fmt.Sprintf("submit line %d differs from that of an earlier attempt, which stays", made.Line))
		}); err != nil {
			return err
		}
	}
	return nil
}

// followEvery is how often a program's progress is looked at.
const followEvery = 250 * time.Millisecond

// progressOf is what a claimer says of what was counted.
func progressOf(c handlers.Counts) answer.ClaimProgress {
	return answer.ClaimProgress{Done: cmp.Or(c.Done, c.In), Total: c.Total, Note: c.Note}
}

// files are those of a job: its input comes over HTTP, and outputs go there.
type files struct {
	*host
	job *claimer.Job

	mu   sync.Mutex
	made map[string]client.ClaimedOutput
}

func (f *files) Input(ctx context.Context) (io.ReadCloser, error) {
	if f.job.Input == nil {
		return nil, handlers.Fail(errors.New("the job has no input"))
	}
	in, err := f.client.ClaimedInput(ctx, f.job.ID, f.job.Claim)
	if err != nil {
		return nil, err
	}
	return in, nil
}

// Output keeps what is written in a file, so that it can be sent again where a connection breaks.
func (f *files) Output(ctx context.Context, name, contentType string) (handlers.Output, error) {
	file, err := os.CreateTemp(f.host.host.Base, "output-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(file.Name()) // it is open
	return &output{File: file, ctx: ctx, files: f, name: name, kind: contentType}, nil
}

func (f *files) all() (made []client.ClaimedOutput) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.made {
		made = append(made, one)
	}
	return made
}

type output struct {
	*os.File
	ctx        context.Context // of the attempt, which it doesn't outlive
	files      *files
	name, kind string
	ended      bool
}

func (o *output) Commit() error {
	if _, err := o.Seek(0, io.SeekStart); err != nil {
		return err
	}
	j := o.files.job
	made, err := o.files.client.PutClaimed(o.ctx, j.ID, j.Claim, o.name, o.kind, o.File, -1)
	if err == nil {
		o.files.mu.Lock()
		o.files.made[o.name] = made
		o.files.mu.Unlock()
	}
	return errors.Join(err, o.Abort())
}

func (o *output) Abort() error {
	if o.ended {
		return nil
	}
	o.ended = true
	return o.File.Close()
}
