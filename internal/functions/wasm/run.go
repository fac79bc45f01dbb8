package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"longshore/handlers"
	"longshore/internal/functions"
	"longshore/internal/isolate"
	"longshore/internal/printable"
	"longshore/job"
)

// Where a module finds what is its own.
const (
	workMount     = "/work"
	functionMount = "/function"
)

// exitData is the exit code of a failure for good: EX_DATAERR of sysexits.h.
const exitData = 65

// A run is one attempt under way. Its folder has what the module doesn't see, the pipes,
// and the folder that it sees as /work.
type run struct {
	*executor
	*functions.Attempt
	ctx   context.Context // ends with the attempt's, or by abort
	abort context.CancelCauseFunc
	work  string

	pipes []*os.File // read ends, and the channel's write end
	keeps []*os.File // other ends of ours: a pipe has no end before the module's
	stdin *os.File

	logging sync.Mutex
	failed  error // of what takes the module's words
	body    functions.Body
	stderr  functions.LogWriter
	channel functions.Channel

	readers, feeder sync.WaitGroup
}

// Run has a child run the module, feeds it and reads what it says.
func (e *executor) Run(ctx context.Context, a *functions.Attempt) (o functions.Outcome) {
	r := &run{executor: e, Attempt: a, work: filepath.Join(a.Folder, "work")}
	r.ctx, r.abort = context.WithCancelCause(ctx)
	defer r.abort(nil)
	w, err := r.prepare()
	if err != nil {
		r.closeAll()
		return functions.Outcome{Err: err}
	}
	var answer reply
	stop := functions.WatchFolders(e.host, r.fail, r.work)
	done, err := e.order(r.ctx, w, a.Folder, &answer)
	stop()
	said := r.drain()
	o.Usage = usage(done)
	o.LastLine = r.stderr.Flush()
	if o.Err = r.verdict(err, answer, said, o.LastLine); o.Err == nil {
		o.Submit = said.Submit
		o.Result, o.Err = r.store(ctx, said)
	}
	r.body.Abort()
	return o
}

// prepare makes the job's files and starts those who read and feed.
func (r *run) prepare() (w work, err error) {
	out := filepath.Join(r.work, "out")
	control := filepath.Join(r.work, "control")
	payload := filepath.Join(r.work, "payload.json")
	err = errors.Join(os.Mkdir(r.work, 0o700), os.Mkdir(out, 0o700), os.WriteFile(payload, r.Payload, 0o600))
	if err == nil && r.HasInput && r.function.Manifest.InputAs == functions.InputFile {
		if err := r.copyInput(filepath.Join(r.work, "input")); err != nil {
			return w, err
		}
	}
	log := func(l functions.Line) {
		r.logging.Lock()
		defer r.logging.Unlock()
		if r.Log != nil {
			r.Log(l)
		}
	}
	r.channel = functions.Channel{Run: r.Attempt.Run, Log: log}
	r.body = functions.Body{Run: r.Attempt.Run, Output: r.function.Manifest.Output, Log: log,
		Said: r.channel.HasResult}
	r.stderr = functions.LogWriter{Log: log}
	w = work{Args: append([]string{filepath.Base(r.function.Command[0])}, r.function.Command[1:]...),
		Env: r.env(), Work: r.work, Function: r.function.Folder, Stdout: filepath.Join(r.Folder, "stdout"),
		Stderr: filepath.Join(r.Folder, "stderr")}
	if err == nil {
		err = r.read(w.Stdout, func(part []byte) error { return r.body.Write(r.ctx, part) })
	}
	if err == nil {
		err = r.read(w.Stderr, func(part []byte) error { _, err := r.stderr.Write(part); return err })
	}
	if err == nil {
		err = r.read(control, func(part []byte) error { _, err := r.channel.Write(part); return err })
	}
	if err == nil && r.HasInput && r.function.Manifest.InputAs != functions.InputFile {
		w.Stdin = filepath.Join(r.Folder, "stdin")
		err = r.feed(w.Stdin)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
	}
	return w, err
}

func (r *run) env() []string {
	input := ""
	if r.HasInput && r.function.Manifest.InputAs == functions.InputFile {
		input = workMount + "/input"
	}
	env := append([]string{"LANG=C.UTF-8", "HOME=" + workMount, "TMPDIR=" + workMount, "PWD=" + workMount,
		"LONGSHORE_FUNCTION=" + functionMount},
		r.Variables(workMount+"/payload.json", workMount+"/out", workMount+"/control", input)...)
	for _, name := range append([]string{"TZ"}, r.function.Manifest.Env...) {
		if value := r.host.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func (r *run) copyInput(path string) error {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
	}
	defer to.Close()
	return r.Attempt.CopyInput(r.ctx, to)
}

const bufferSize = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// read makes a FIFO and hands on what comes through it. What can't be taken ends the
// attempt, and the rest is read all the same.
func (r *run) read(path string, take func([]byte) error) error {
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return err
	}
	// Not blocking, else it would wait for a writer.
	from, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	r.pipes = append(r.pipes, from)
	keep, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	r.keeps = append(r.keeps, keep)
	r.readers.Go(func() {
		buf := buffers.Get().(*[]byte)
		defer buffers.Put(buf)
		for {
			n, err := from.Read(*buf)
			if n > 0 && take != nil {
				if failed := take((*buf)[:n]); failed != nil {
					r.fail(failed)
					take = nil
				}
			}
			if err != nil {
				return
			}
		}
	})
	return nil
}

// feed makes a FIFO and writes the input to it. A module that doesn't read it is fine.
func (r *run) feed(path string) error {
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return err
	}
	// A read end of ours keeps what was written before the module comes to read.
	hold, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	r.keeps = append(r.keeps, hold)
	if r.stdin, err = os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err != nil {
		return err
	}
	r.feeder.Go(func() {
		in, err := r.Attempt.Run.Input(r.ctx)
		if err != nil {
			r.fail(err)
			return
		}
		defer in.Close()
		_, err = io.Copy(r.stdin, in)
		// the module has ended
		if path := (*fs.PathError)(nil); err != nil && r.ctx.Err() == nil && !errors.As(err, &path) {
			r.fail(err)
		}
		_ = r.stdin.Close() // all is written: the module reads to its end
	})
	return nil
}

// fail ends the attempt for want of its files.
func (r *run) fail(err error) {
	r.logging.Lock()
	if r.failed == nil {
		r.failed = err
	}
	r.logging.Unlock()
	r.abort(err)
}

var errEnded = errors.New("the module has ended")

// drain reads what the module has said to the end: nothing of it runs any more.
func (r *run) drain() functions.Said {
	for _, keep := range r.keeps {
		_ = keep.Close()
	}
	if r.stdin != nil {
		_ = r.stdin.SetWriteDeadline(time.Now())
	}
	r.readers.Wait()
	r.abort(errEnded)
	r.feeder.Wait()
	r.closeAll()
	return r.channel.Close()
}

func (r *run) closeAll() {
	for _, f := range append(append([]*os.File{r.stdin}, r.keeps...), r.pipes...) {
		if f != nil {
			_ = f.Close() // again: no harm
		}
	}
	r.readers.Wait()
}

// verdict judges how it ended: the first that holds.
func (r *run) verdict(err error, answer reply, said functions.Said, last string) error {
	var death *isolate.Death
	switch {
	case answer.OutOfMemory:
		return &isolate.Death{OutOfMemory: true, How: fmt.Sprintf("wanted more than %d MiB of memory",
			r.host.MemoryOf(r.function)>>20)}
	case errors.As(err, &death) && death.OutOfMemory, err != nil:
		return err
	case answer.Host != "":
		return fmt.Errorf("%w: %s", functions.ErrNotStarted, answer.Host)
	case answer.Fault != "":
		return handlers.Fail(errors.New(answer.Fault))
	case said.Err != nil:
		return said.Err
	case said.Fail != nil:
		return handlers.Fail(errors.New(*said.Fail))
	case said.RetryIn > 0:
		return handlers.After(said.RetryIn)
	case answer.Trap != "":
		return r.trapped(answer.Trap)
	case answer.Exit == 0:
		return r.failed
	}
	text := "exit status " + strconv.Itoa(answer.Exit)
	if last != "" {
		text += ": " + last
	}
	if answer.Exit == exitData {
		return handlers.Fail(errors.New(text))
	}
	return errors.New(text)
}

// trapped is a crash; the first line tells, the rest is for the log.
func (r *run) trapped(text string) error {
	first, rest, _ := strings.Cut(text, "\n")
	w := functions.LogWriter{Log: r.Log}
	_, _ = io.WriteString(&w, rest) // it never fails
	w.Flush()
	return &isolate.Death{How: "trapped: " + printable.Line(strings.TrimPrefix(first, "wasm error: "))}
}

// store makes what the module left the job's.
func (r *run) store(ctx context.Context, said functions.Said) (result []byte, err error) {
	result, err = r.body.Close(ctx, said.Result)
	if err == nil {
		err = functions.Collect(ctx, r.Attempt.Run, filepath.Join(r.work, "out"))
	}
	if err == nil && len(result) > job.MaxDocument {
		err = handlers.FailWith(job.OutputLimit, fmt.Errorf("result is over %d bytes; write an output",
			job.MaxDocument))
	}
	return result, err
}
