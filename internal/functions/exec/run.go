package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"longshore/internal/functions"
	"longshore/internal/functions/program"
)

// A run is one attempt under way.
type run struct {
	*executor
	*functions.Attempt
	ctx   context.Context // ends with the attempt's, or by abort
	abort context.CancelCauseFunc

	work, out, payload, control, input string // paths

	theirs []*os.File // the program's ends, which are closed here once it has them
	stdin  *os.File   // our ends; nil without an input by stdin
	pipes  struct{ stdout, stderr, control *os.File }
	keep   *os.File // keeps the FIFO open until the end

	logging sync.Mutex
	stdout  functions.Body
	stderr  functions.LogWriter
	channel functions.Channel

	readers  sync.WaitGroup
	feeder   sync.WaitGroup
	feedErr  error // of reading the input or writing an output
	lastLine string
}

// pipeSize is asked for where much goes through a pipe, in bytes.
const pipeSize = 1 << 20

func (r *run) prepare() error {
	r.work, r.payload, r.control = filepath.Join(r.Folder, "work"), filepath.Join(r.Folder, "payload.json"),
		filepath.Join(r.Folder, "control")
	err := errors.Join(os.Mkdir(r.work, 0o700), os.Mkdir(r.out, 0o700),
		os.WriteFile(r.payload, r.Payload, 0o600), syscall.Mkfifo(r.control, 0o600))
	if err == nil {
		err = r.give(r.Folder, r.work, r.out, r.payload, r.control)
	}
	if err == nil {
		err = r.openPipes()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
	}
	if r.HasInput && r.function.Manifest.InputAs == functions.InputFile {
		if err := r.copyInput(); err != nil {
			return err
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
	r.stdout = functions.Body{Run: r.Attempt.Run, Output: r.function.Manifest.Output, Log: log,
		Said: r.channel.HasResult}
	r.stderr = functions.LogWriter{Log: log}
	return nil
}

// give makes files the program's user's.
func (r *run) give(paths ...string) error {
	uid := r.host.UserOf(r.Slot)
	if uid == 0 {
		return nil
	}
	for _, path := range paths {
		if err := os.Lchown(path, uid, uid); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) openPipes() (err error) {
	// Not blocking, else it would wait for a writer; and a writer of ours, so that it has
	// no end before the program's.
	if r.pipes.control, err = os.OpenFile(r.control, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		return err
	}
	if r.keep, err = os.OpenFile(r.control, os.O_WRONLY, 0); err != nil {
		return err
	}
	if r.pipes.stdout, err = r.pipe(false); err == nil {
		r.pipes.stderr, err = r.pipe(false)
	}
	if err == nil && r.HasInput && r.function.Manifest.InputAs == functions.InputStdin {
		r.stdin, err = r.pipe(true)
	}
	return err
}

// pipe makes a pipe and returns our end; the other is the last of theirs.
func (r *run) pipe(write bool) (ours *os.File, err error) {
	read, written, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ours, other := read, written
	if write {
		ours, other = written, read
	}
	r.theirs = append(r.theirs, other)
	growPipe(ours)
	if uid := r.host.UserOf(r.Slot); uid > 0 { // so that it may open /dev/stderr
		err = other.Chown(uid, uid)
	}
	return ours, err
}

// copyInput makes the private copy of an input that is not read by stdin.
func (r *run) copyInput() error {
	r.input = filepath.Join(r.Folder, "input")
	to, err := os.OpenFile(r.input, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
	}
	defer to.Close()
	if err := r.Attempt.CopyInput(r.ctx, to); err != nil {
		return err
	}
	return r.give(r.input)
}

func (r *run) start() program.Start {
	s := program.Start{Function: r.function, Host: r.host, Slot: r.Slot, Dir: r.work, Env: r.env(),
		Write: []string{r.work, r.out}, Read: []string{r.payload}, Use: []string{r.control},
		Stdout: r.theirs[0], Stderr: r.theirs[1], More: []*os.File{r.keep}}
	if r.stdin != nil {
		s.Stdin = r.theirs[2]
	}
	if r.input != "" {
		s.Use = append(s.Use, r.input)
	}
	return s
}

func (r *run) env() []string {
	return program.Env(r.function, r.host, r.work, r.Variables(r.payload, r.out, r.control, r.input)...)
}

// feed starts what goes on beside the program: its input, and what it says.
func (r *run) feed() {
	if r.stdin != nil {
		r.feeder.Go(r.feedInput)
	}
	r.read(r.pipes.stdout, func(part []byte) error { return r.stdout.Write(r.ctx, part) })
	r.read(r.pipes.stderr, func(part []byte) error { _, err := r.stderr.Write(part); return err })
	r.read(r.pipes.control, func(part []byte) error { _, err := r.channel.Write(part); return err })
}

// bufferSize is how much is moved at once, in bytes.
const bufferSize = 256 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// read hands on what comes through a pipe until its end. What can't be taken ends the
// attempt, and the rest is read all the same.
func (r *run) read(from *os.File, take func([]byte) error) {
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
			if errors.Is(err, os.ErrDeadlineExceeded) && take != nil {
				functions.ReadRest(from, *buf, func(part []byte) {
					if failed := take(part); failed != nil {
						r.fail(failed)
					}
				})
			}
			if err != nil {
				return
			}
		}
	})
}

// feedInput writes the input to stdin. A program that doesn't read it is fine.
func (r *run) feedInput() {
	defer r.stdin.Close()
	in, err := r.Attempt.Run.Input(r.ctx)
	if err != nil {
		r.fail(err)
		return
	}
	defer in.Close()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := in.Read(*buf)
		if n > 0 {
			if _, closed := r.stdin.Write((*buf)[:n]); closed != nil {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			if !errors.Is(context.Cause(r.ctx), errEnded) {
				r.fail(err)
			}
			return
		}
	}
}

// fail ends the attempt for want of its files.
func (r *run) fail(err error) {
	r.logging.Lock()
	if r.feedErr == nil {
		r.feedErr = err
	}
	r.logging.Unlock()
	r.abort(err)
}

func (r *run) failed() error {
	r.logging.Lock()
	defer r.logging.Unlock()
	return r.feedErr
}

// pipePatience bounds the wait for pipes that somebody holds who could not be found.
const pipePatience = time.Second

// drain reads what the program has said to the end: nothing of it runs any more.
func (r *run) drain() functions.Said {
	_ = r.keep.Close()
	until := time.Now().Add(pipePatience)
	for _, pipe := range []*os.File{r.pipes.stdout, r.pipes.stderr, r.pipes.control} {
		_ = pipe.SetReadDeadline(until)
	}
	if r.stdin != nil {
		_ = r.stdin.SetWriteDeadline(time.Now())
	}
	r.readers.Wait()
	r.abort(errEnded) // an input that is still read
	r.feeder.Wait()
	r.closeAll()
	r.lastLine = r.stderr.Flush()
	return r.channel.Close()
}

var errEnded = errors.New("the program has ended")

// closeTheirs closes the ends that the program has now, or never will.
func (r *run) closeTheirs() {
	for _, f := range r.theirs {
		_ = f.Close()
	}
}

func (r *run) closeAll() {
	r.closeTheirs()
	for _, f := range []*os.File{r.pipes.stdout, r.pipes.stderr, r.pipes.control, r.keep, r.stdin} {
		if f != nil {
			_ = f.Close() // again: no harm
		}
	}
}
