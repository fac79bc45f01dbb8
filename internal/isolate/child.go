package isolate

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Variables of a child's environment.
const (
	// modeVariable makes a process a child; its value is the memory cap in
	// bytes. The child removes it, so that programs it starts are none.
	modeVariable = "LONGSHORE_CHILD"
	// familyVariable marks a child and all that descends from it.
	familyVariable = "LONGSHORE_FAMILY"
)

// allowed names the variables that a child gets from its parent: no secrets,
// no addresses of servers.
var allowed = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "GOMAXPROCS", "GODEBUG", "GOTRACEBACK", "GOCOVERDIR"}

// markOf begins the variable of all families of a pool.
func markOf(pool string) string { return familyVariable + "=" + pool + "/" }

// socketFD is where a child finds its end of the socket pair.
const socketFD = 3

// A child is one process, as its parent sees it.
type child struct {
	cmd    *exec.Cmd
	conn   wire
	stderr tail
	family *family
	frames chan frame    // closed when no more can be read
	broken error         // why, if not because the child closed its end; set before
	ended  chan struct{} // closed when it has been reaped
	gone   chan struct{} // … and nothing of its family is left
	asleep int64         // resident bytes when it was ready first
	kills  int64         // the kernel's for want of memory, up to now

	works int           // it was given so many
	total time.Duration // CPU time used up to the last reply

	mu     sync.Mutex
	reaped bool // its number may be another process's

	stop  context.CancelFunc // makes the reader end
	close func()             // lets go of the connection, once
}

// CheckEnv refuses what can't be the name of a variable that passes to children.
func CheckEnv(names []string) error {
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, "=\x00") || name == modeVariable || name == familyVariable {
			return fmt.Errorf("%q can't be the name of a variable for child processes", name)
		}
	}
	return nil
}

// environment is what a child gets.
func environment(memory int64, token string, passed []string) []string {
	env := []string{modeVariable + "=" + strconv.FormatInt(memory, 10), token}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "LC_") || slices.Contains(allowed, name) || slices.Contains(passed, name) {
			env = append(env, v)
		}
	}
	return env
}

// startPatience bounds the start of a child.
const startPatience = 10 * time.Second

// newChild starts a process and waits until it is ready. mark tells the families
// of a pool from others; passed names variables that it gets; spawn runs a function on the thread whose end would be
// the child's.
func newChild(ctx context.Context, memory int64, passed []string, program, mark string, spawn func(func() error) error) (*child, error) {
	ours, theirs, err := newWires()
	if err != nil {
		return nil, fmt.Errorf("start child: %w", err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start child: %w", err), ours.close(), theirs.Close())
	}
	var id [8]byte
	rand.Read(id[:])
	token := markOf(mark) + hex.EncodeToString(id[:])
	c := &child{conn: ours, frames: make(chan frame, 16), ended: make(chan struct{}), gone: make(chan struct{})}
	c.cmd = &exec.Cmd{Path: program, Args: []string{filepath.Base(os.Args[0]), "(child)"}, Env: environment(memory, token, passed),
		Stdout: in, Stderr: in, ExtraFiles: []*os.File{theirs}, SysProcAttr: attributes(), Dir: "/"}
	err = spawn(c.cmd.Start)
	// The child's ends are the child's alone now: else its own end would not be
	// noticed.
	if err := errors.Join(err, in.Close(), theirs.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start child: %w", err), ours.close(), out.Close())
	}
	c.close = sync.OnceFunc(c.letGo)
	c.family = &family{head: c.cmd.Process.Pid, token: token, known: map[int]process{}}
	reading, stop := context.WithCancel(context.Background())
	c.stop = stop
	go c.read(reading)
	go c.wait(out)

	patience, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := c.awaitReady(patience); err != nil {
		c.end()
		return nil, fmt.Errorf("start child: %w (is the child's entry the first call of main?): %s", err, lastWords(c.stderr.take()))
	}
	c.asleep, _, _ = memoryOf(c)
	c.kills = kernelKills()
	return c, nil
}

func memoryOf(c *child) (now, peak int64, ok bool) { return memory(c.family.head) }

// lastWords shortens what a child wrote for an error message.
func lastWords(text []byte) string {
	const most = 500
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(text), "?"))
}

// read hands the child's frames on, until there are no more.
func (c *child) read(ctx context.Context) {
	defer close(c.frames)
	r := bufio.NewReader(c.conn)
	for {
		f, err := readFrame(r)
		if err != nil {
			if errors.Is(err, errFrame) {
				c.broken = err
			}
			return
		}
		select {
		case c.frames <- f:
		case <-ctx.Done():
			return
		}
	}
}

// wait reaps the child. What is left of its group is killed before, as long as
// the group's number can't be another's.
func (c *child) wait(out *os.File) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		c.stderr.drain(out)
	}()
	if awaitExit(c.family.head) {
		_ = syscall.Kill(-c.family.head, syscall.SIGKILL)
		c.mu.Lock()
		_ = c.cmd.Wait() // how it ended is in ProcessState
	} else {
		_ = c.cmd.Wait()
		c.mu.Lock()
	}
	c.reaped = true
	c.mu.Unlock()
	close(c.ended)
	c.family.sweep()
	// Nobody is left who could write, but for what we can't find.
	_ = out.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	<-drained
	out.Close()
	close(c.gone)
}

// awaitReady waits until the child takes work.
func (c *child) awaitReady(ctx context.Context) error {
	for {
		select {
		case f, ok := <-c.frames:
			switch {
			case !ok:
				return errors.New("it ended")
			case f.kind == kindReady:
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", context.Cause(ctx))
		}
	}
}

// end kills the child and all that descends from it, and returns when they are
// gone. It may be called again.
func (c *child) end() {
	c.mu.Lock()
	if !c.reaped {
		c.family.kill()
	}
	c.mu.Unlock()
	<-c.gone
	c.close()
}

// letGo closes the connection to a child that is gone. It must not happen
// twice: the number of the descriptor may be another's by then.
func (c *child) letGo() {
	c.stop()
	c.conn.shut()
	for range c.frames {
	}
	_ = c.conn.close() // nobody is at its other end
}

// send sends a frame, and a descriptor along with it.
func (c *child) send(b []byte, file syscall.Conn) error {
	if file == nil {
		_, err := c.conn.Write(b)
		return err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) { sendErr = c.conn.writeWith(b, int(fd)) })
	return errors.Join(err, sendErr)
}

func (c *child) sendStop(number uint32, reason string) error {
	return c.send(appendFrame(nil, kindStop, binary.BigEndian.AppendUint32(nil, number), []byte(reason)), nil)
}

func (c *child) sendRenewal(number uint32, until time.Time) error {
	body := binary.BigEndian.AppendUint32(nil, number)
	body = binary.BigEndian.AppendUint64(body, uint64(onUptime(until)))
	return c.send(appendFrame(nil, kindRenew, body), nil)
}

// onUptime turns a time into one that the child understands; 0 stays none.
func onUptime(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(1, uptime()+time.Until(t))
}
