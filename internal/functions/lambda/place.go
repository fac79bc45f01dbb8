package lambda

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"longshore/internal/functions"
	"longshore/internal/printable"
)

// A place is a job's folder in its process's, made before there is the job: out, whose
// files become outputs, and the channel, a FIFO. The process may do anything there at
// any time, so nothing is opened by a path that it could turn elsewhere.
type place struct {
	root *os.Root
	path string
	out  *os.Root

	control *os.File // read end of the channel, not blocking
	keep    *os.File // a write end of ours, lest the channel has an end
}

const (
	outName, controlName, inputName = "out", "control", "input"
)

// newPlace makes the folder for the process's next job.
func (p *process) newPlace() (*place, error) {
	p.places++
	name := strconv.Itoa(p.places)
	l := &place{path: filepath.Join(p.folder, name)}
	err := p.root.Mkdir(name, 0o700)
	if err == nil {
		l.root, err = p.root.OpenRoot(name)
	}
	if err == nil {
		err = l.root.Mkdir(outName, 0o700)
	}
	if err == nil {
		l.out, err = l.root.OpenRoot(outName)
	}
	if err == nil {
		err = l.makeChannel()
	}
	if err == nil && p.user > 0 {
		err = errors.Join(l.root.Lchown(outName, p.user, p.user), l.root.Lchown(controlName, p.user, p.user),
			p.root.Lchown(name, p.user, p.user))
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("folder of a job: %w", err)
	}
	return l, nil
}

func (l *place) makeChannel() error {
	err := mkfifo(l, controlName)
	if err != nil {
		return err
	}
	if l.control, err = l.root.OpenFile(controlName, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		return err
	}
	l.keep, err = l.root.OpenFile(controlName, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	return err
}

// close lets go of the folder; it may be called again.
func (l *place) close() {
	for _, f := range []*os.File{l.control, l.keep} {
		if f != nil {
			_ = f.Close() // only read, or never written
		}
	}
	for _, r := range []*os.Root{l.out, l.root} {
		if r != nil {
			_ = r.Close()
		}
	}
}

// custom is what the client context says of the job, and copies the input.
func (l *place) custom(ctx context.Context, a *functions.Attempt, user int) (map[string]string, error) {
	custom := map[string]string{"job": string(a.ID), "attempt": strconv.Itoa(a.Run.Attempt),
		"max_attempts": strconv.Itoa(a.MaxAttempts), "out": filepath.Join(l.path, outName),
		"control": filepath.Join(l.path, controlName)}
	if !a.HasInput {
		return custom, nil
	}
	if err := l.copyInput(ctx, a, user); err != nil {
		return nil, err
	}
	custom[inputName] = filepath.Join(l.path, inputName)
	custom["input_type"], custom["input_name"] = printable.Text(a.InputType), printable.Text(a.InputName)
	return custom, nil
}

func (l *place) copyInput(ctx context.Context, a *functions.Attempt, user int) error {
	to, err := l.root.OpenFile(inputName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
	}
	defer to.Close()
	if user > 0 {
		if err := to.Chown(user, user); err != nil {
			return fmt.Errorf("%w: %w", functions.ErrNotStarted, err)
		}
	}
	return a.CopyInput(ctx, to)
}

// emptied removes all that is in the process's folder.
func (p *process) emptied() error {
	dir, err := p.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		err = errors.Join(err, p.root.RemoveAll(name))
	}
	return err
}
