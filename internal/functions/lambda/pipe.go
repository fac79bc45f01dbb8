package lambda

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"longshore/internal/functions"
)

// A pipe is read as soon as there is something in it, and can be read empty at a moment:
// what was written before counts for who had it then, what comes after does not.
type pipe struct {
	read  *os.File
	raw   syscall.RawConn
	ended chan struct{} // closed when nothing more can be read

	mu   sync.Mutex
	take func([]byte)
	buf  []byte
}

// newPipe reads from a file that does not block.
func newPipe(read *os.File, take func([]byte)) (*pipe, error) {
	p := &pipe{read: read, ended: make(chan struct{}), take: take, buf: make([]byte, 16<<10)}
	var err error
	if p.raw, err = read.SyscallConn(); err != nil {
		return nil, err
	}
	go p.run()
	return p, nil
}

// run reads until all who can write are gone, or stop.
func (p *pipe) run() {
	defer close(p.ended)
	for {
		end := false
		err := p.raw.Read(func(fd uintptr) bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			var some bool
			some, end = p.drain(int(fd))
			return some || end
		})
		if err != nil || end {
			return
		}
	}
}

// drainRounds bounds a drain: a pipe holds 64 KiB, and who has it must get on.
const drainRounds = 8

// drain reads what is there; mu is held. end says that nobody can write any more.
func (p *pipe) drain(fd int) (some, end bool) {
	for range drainRounds {
		n, err := syscall.Read(fd, p.buf)
		switch {
		case errors.Is(err, syscall.EINTR):
		case n > 0:
			p.take(p.buf[:n])
			some = true
			if n < len(p.buf) { // a pipe gives all it has
				return some, false
			}
		default:
			return some, err == nil || !errors.Is(err, syscall.EAGAIN)
		}
	}
	return some, false
}

// turn reads what is there, then has f change who takes what comes.
func (p *pipe) turn(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.raw.Control(func(fd uintptr) { p.drain(int(fd)) }) // closed = all was read
	f()
}

// stop lets go of the pipe, after so long at most for what still comes.
func (p *pipe) stop(patience time.Duration) {
	_ = p.read.SetReadDeadline(time.Now().Add(patience))
	<-p.ended
	p.turn(func() {}) // a reader that came too late has read nothing
	_ = p.read.Close()
}

// An output hands what a process writes to stdout and stderr, one pipe so that lines keep
// their order, to whoever has the process. What comes while nobody has it goes to the
// worker's log.
type output struct {
	*pipe
	rest *functions.LogWriter
	to   *functions.LogWriter
}

// newOutput returns an output and the end that a process writes to, which the caller
// closes.
func newOutput(rest *functions.LogWriter) (*output, *os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	o := &output{rest: rest, to: rest}
	// the write never fails
	if o.pipe, err = newPipe(read, func(part []byte) { _, _ = o.to.Write(part) }); err != nil {
		return nil, nil, errors.Join(err, read.Close(), write.Close())
	}
	return o, write, nil
}

// switchTo has what comes from now on go to another, nil = to the worker's log, and
// returns the last line of the one before.
func (o *output) switchTo(to *functions.LogWriter) (last string) {
	o.turn(func() {
		last = o.to.Flush()
		if o.to = to; to == nil {
			o.to = o.rest
		}
	})
	return last
}

// closePatience is how long after a family's end its pipe is read on: its end is near,
// unless somebody has it whom we could not find.
const closePatience = 100 * time.Millisecond

func (o *output) close() {
	o.stop(closePatience)
	o.turn(func() { // who has a job there still flushes it himself
		if o.to == o.rest {
			o.rest.Flush()
		}
	})
}
