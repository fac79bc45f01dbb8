package isolate

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"longshore/internal/family"
)

// An Order is a piece of work, as the child sees it.
type Order struct {
	Body   []byte
	Folder string
	Input  *os.File // nil = none; to be read by position

	server *server
}

// Tell reports how far the work is.
func (o *Order) Tell(news []byte) { o.server.write(appendFrame(nil, kindNews, news)) }

// Log writes a line for the operator.
func (o *Order) Log(line []byte) {
	o.server.write(appendFrame(nil, kindLog, line[:min(len(line), MaxBody)]))
}

// A Handler does a piece of work. Its context ends, with the cause that Stopped
// reads, when the parent wants it to stop. worn asks for another child for the
// next work.
type Handler func(ctx context.Context, o *Order) (reply []byte, worn bool)

// A Stopped is the cause with which a Handler's context ends.
type Stopped struct{ Reason string }

func (s *Stopped) Error() string { return "stopped: " + s.Reason }

// IsChild reports whether this process was started as a child, and has not
// called Main yet.
func IsChild() bool { return os.Getenv(modeVariable) != "" }

// Main serves and never returns, if this process is a child or a guard (see Guard); else
// it does nothing. It must be the first call of main.
func Main(h Handler) {
	if family.BeGuard(os.Args[1:], os.Stdin, removeLeft) {
		os.Exit(0)
	}
	guardable.Store(true)
	mode := os.Getenv(modeVariable)
	if mode == "" {
		return
	}
	if err := serve(mode, h); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
	}
	die()
}

// die ends this process and all that descends from it.
func die() {
	family.KillBelow(os.Getpid())
	if os.Getpid() == ownGroup() {
		_ = syscall.Kill(0, syscall.SIGKILL)
	}
	os.Exit(1)
}

// A server is the child's end.
type server struct {
	in     descriptors
	r      *bufio.Reader // of in
	limits limits
	handle Handler
	ended  chan error

	writing sync.Mutex

	mu     sync.Mutex
	number uint32 // of the work under way; 0 = none
	stop   context.CancelCauseFunc
	until  *watchdog
}

func serve(mode string, h Handler) error {
	memory, err := strconv.ParseInt(mode, 10, 64)
	if err != nil {
		return fmt.Errorf("%s: %w", modeVariable, err)
	}
	if err := os.Unsetenv(modeVariable); err != nil {
		return err
	}
	s := &server{handle: h, until: newWatchdog(), ended: make(chan error, 1)}
	s.r = bufio.NewReader(&s.in)
	syscall.CloseOnExec(socketFD)
	if s.limits, err = prepare(memory); err != nil {
		return err
	}
	s.ready()
	go s.read()
	return <-s.ended
}

// read obeys frames until there are no more, or there is work: that it does
// itself, at once, and leaves reading to another goroutine.
func (s *server) read() {
	for {
		f, err := readFrame(s.r)
		switch {
		case errors.Is(err, io.EOF):
			s.ended <- nil // the parent is gone, or wants us to go
			return
		case err == nil && f.kind == kindWork:
			err = s.begin(f)
			if err == nil {
				return
			}
		case err == nil:
			err = s.take(f)
		}
		if err != nil {
			s.ended <- err
			return
		}
	}
}

// begin does the work that a frame orders.
func (s *server) begin(f frame) error {
	o, err := decodeOrder(f.body)
	if err != nil {
		return err
	}
	order := &Order{Body: o.body, Folder: o.folder, server: s}
	if o.input {
		if order.Input = s.in.next(); order.Input == nil {
			return errors.New("work without its input")
		}
	}
	ctx, stop := context.WithCancelCause(context.Background())
	s.mu.Lock()
	s.number, s.stop = o.number, stop
	s.mu.Unlock()
	s.until.set(o.until)
	go s.read()
	s.work(ctx, o.number, order)
	return nil
}

// take obeys one frame.
func (s *server) take(f frame) error {
	switch f.kind {
	case kindStop, kindRenew:
		number, rest, err := decodeNumbered(f.body)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case number != s.number: // it has ended meanwhile
		case f.kind == kindStop:
			s.stop(&Stopped{Reason: string(rest)})
		case len(rest) == 8:
			s.until.set(time.Duration(binary.BigEndian.Uint64(rest)))
		}
		return nil
	}
	return fmt.Errorf("%w: kind %q", errFrame, f.kind)
}

// grownBy is how much the memory at rest may grow before it is tidied up.
const grownBy = 8 << 20

// work does one piece of work and answers it.
func (s *server) work(ctx context.Context, number uint32, o *Order) {
	cpu := cpuTime()
	s.limits.begin()
	s.enter(o.Folder)
	reply, worn := s.handle(ctx, o)
	if o.Input != nil {
		_ = o.Input.Close()
	}
	s.mu.Lock()
	s.number = 0
	s.stop(nil)
	s.mu.Unlock()
	s.until.set(0)

	total := cpuTime()
	now, peak := s.limits.end(total - cpu)
	a := answer{number: number, body: reply, total: total, tidies: now > s.limits.asleep+grownBy,
		worn: worn || family.HasChildren() || runtime.NumGoroutine() > maxGoroutines}
	a.usage = Usage{CPU: a.total - cpu, PeakResident: peak}
	if a.worn {
		a.tidies = false
	}
	s.write(a.encode(nil))
	if a.tidies {
		debug.FreeOSMemory()
		s.ready()
	}
}

// maxGoroutines is how many a child may have after its work. A library may well
// keep some; more are leaked.
const maxGoroutines = 100

// enter makes a folder the place for whatever the work writes without saying where.
func (s *server) enter(folder string) {
	if folder == "" {
		folder = s.limits.temp
	}
	_ = syscall.Chdir(folder) // a missing folder is the parent's mistake, and shows when it is used
	if os.Getenv("TMPDIR") != folder {
		_ = os.Setenv("TMPDIR", folder)
	}
}

func (s *server) ready() { s.write(appendFrame(nil, kindReady)) }

// write sends a frame. A parent that is gone ends this process.
func (s *server) write(b []byte) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := wire(socketFD).Write(b); err != nil {
		die()
	}
}

// descriptors reads from the socket and keeps the files that come along.
type descriptors struct {
	oob   [32]byte
	files []*os.File
}

func (d *descriptors) Read(p []byte) (int, error) {
	n, oobn, _, _, err := syscall.Recvmsg(socketFD, p, d.oob[:], 0)
	for errors.Is(err, syscall.EINTR) {
		n, oobn, _, _, err = syscall.Recvmsg(socketFD, p, d.oob[:], 0)
	}
	if err != nil {
		return 0, os.NewSyscallError("recvmsg", err)
	}
	if oobn > 0 {
		messages, parseErr := syscall.ParseSocketControlMessage(d.oob[:oobn])
		if parseErr != nil {
			return n, parseErr
		}
		for _, m := range messages {
			fds, parseErr := syscall.ParseUnixRights(&m)
			if parseErr != nil {
				return n, parseErr
			}
			for _, fd := range fds {
				syscall.CloseOnExec(fd)
				d.files = append(d.files, os.NewFile(uintptr(fd), "input"))
			}
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// next returns the file that came along first.
func (d *descriptors) next() *os.File {
	if len(d.files) == 0 {
		return nil
	}
	f := d.files[0]
	d.files = d.files[1:]
	return f
}

// A watchdog ends this process when nobody has put it off.
type watchdog struct {
	mu    sync.Mutex
	until time.Duration // on uptime; 0 = never
	timer *time.Timer
}

func newWatchdog() *watchdog {
	w := &watchdog{}
	w.timer = time.AfterFunc(time.Hour, w.look)
	w.timer.Stop()
	return w
}

func (w *watchdog) set(until time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until == 0 && until == 0 {
		return
	}
	w.until = until
	w.arm()
}

// watchEvery bounds the error between the timer's clock, which stands still in
// a suspended machine, and uptime.
const watchEvery = time.Second

func (w *watchdog) arm() {
	if w.until == 0 {
		w.timer.Stop()
		return
	}
	w.timer.Reset(max(0, min(w.until-family.Uptime(), watchEvery)))
}

func (w *watchdog) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until == 0 {
		return
	}
	if family.Uptime() >= w.until {
		fmt.Fprintln(os.Stderr, "child: no renewal in time")
		die()
	}
	w.arm()
}
