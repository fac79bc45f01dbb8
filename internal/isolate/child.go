package isolate

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"longshore/internal/family"
	"longshore/internal/sandbox"
)

// modeVariable makes a process a child; its value is the memory cap in
// bytes. The child removes it, so that programs it starts are none.
const modeVariable = "LONGSHORE_CHILD"

// allowed names the variables that a child gets from its parent: no secrets,
// no addresses of servers.
var allowed = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "GOMAXPROCS", "GODEBUG", "GOTRACEBACK", "GOCOVERDIR"}

// socketFD is where a child finds its end of the socket pair.
const socketFD = 3

// A child is one process, as its parent sees it.
type child struct {
	kind   Child
	conn   wire
	stderr family.Tail
	family *family.Family
	frames chan frame // closed when no more can be read
	broken error      // why, if not because the child closed its end; set before
	asleep int64      // resident bytes when it was ready first
	kills  int64      // the kernel's for want of memory, up to now

	works int           // it was given so many
	total time.Duration // CPU time used up to the last reply

	stop  context.CancelFunc // makes the reader end
	close func()             // lets go of the connection, once
}

// CheckEnv refuses what can't be the name of a variable that passes to children.
func CheckEnv(names []string) error {
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, "=\x00") || name == modeVariable ||
			name == family.Variable {
			return fmt.Errorf("%q can't be the name of a variable for child processes", name)
		}
	}
	return nil
}

// environment is what a child gets.
func (k Child) environment() []string {
	env := []string{modeVariable + "=" + strconv.FormatInt(k.Memory, 10)}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "LC_") || slices.Contains(allowed, name) || slices.Contains(k.Env, name) {
			env = append(env, v)
		}
	}
	return env
}

// startPatience bounds the start of a child.
const startPatience = 10 * time.Second

// newChild starts a process and waits until it is ready. mark tells the families
// of a pool from others.
func newChild(ctx context.Context, starter *family.Starter, kind Child, mark string) (*child, error) {
	ours, theirs, err := newWires()
	if err != nil {
		return nil, fmt.Errorf("start child: %w", err)
	}
	c := &child{kind: kind, conn: ours, frames: make(chan frame, 16)}
	cmd := &exec.Cmd{Path: kind.Program, Args: []string{filepath.Base(os.Args[0]), "(child)"},
		Env: kind.environment(), ExtraFiles: []*os.File{theirs}, Dir: "/"}
	c.family, err = kind.start(cmd, mark, &c.stderr, starter)
	// Its end of the wire is the child's alone now: else its own end would not be
	// noticed.
	if closed := theirs.Close(); err != nil {
		return nil, errors.Join(fmt.Errorf("start child: %w", err), closed, ours.close())
	}
	c.close = sync.OnceFunc(c.letGo)
	reading, stop := context.WithCancel(context.Background())
	c.stop = stop
	go c.read(reading)

	patience, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := c.awaitReady(patience); err != nil {
		c.end()
		return nil, fmt.Errorf("start child: %w (is the child's entry the first call of main?): %s", err,
			lastWords(c.stderr.Take()))
	}
	c.asleep, _, _ = c.family.Resident()
	c.kills = family.KernelKills()
	return c, nil
}

// start starts a child's process, in a sandbox where it has one.
func (k Child) start(cmd *exec.Cmd, mark string, out io.Writer,
	starter *family.Starter) (*family.Family, error) {
	if k.Policy == nil {
		return starter.Start(cmd, mark, out)
	}
	release := make(chan struct{}) // of the thread that started it
	f, err := family.StartOn(cmd, mark, out, func(start func() error) error {
		return sandbox.Start(k.Policy, func() (int, error) {
			if err := start(); err != nil {
				return 0, err
			}
			return cmd.Process.Pid, nil
		}, release)
	})
	if err != nil {
		close(release)
		return nil, err
	}
	go func() {
		<-f.Gone()
		close(release)
	}()
	return f, nil
}

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
	c.family.Kill()
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
	return max(1, family.Uptime()+time.Until(t))
}
