package localredis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A child is one run of redis-server.
type child struct {
	cmd  *exec.Cmd
	log  tail
	done chan struct{} // closed when the process has been reaped
}

// startChild starts the process. One goroutine starts it, waits for it, and
// keeps its thread meanwhile: the kernel sends the parent-death signal when the
// thread that started the child ends, not the process (prctl(2)).
func startChild(binary string, args, env []string, dataDir string) (*child, error) {
	c := &child{cmd: exec.Command(binary, args...), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.SysProcAttr = childAttr()
	c.cmd.WaitDelay = time.Second
	var lock *os.File
	if dataDir != "" {
		var err error
		if lock, err = lockDir(dataDir); err != nil {
			return nil, err
		}
		defer lock.Close()
		c.cmd.ExtraFiles = []*os.File{lock}
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // how it ended is of no interest: the log says why
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// lockDir takes the data folder for one redis-server. The open file is handed
// to the child, so the lock lasts exactly as long as the child lives, even where
// it outlives a killed parent.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "redis.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", dir, ErrInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// signal sends a signal to the process group. A process that has ended is an
// error, os.ErrProcessDone.
func (c *child) signal(sig syscall.Signal) error {
	select {
	case <-c.done:
		return os.ErrProcessDone
	default:
		return syscall.Kill(-c.cmd.Process.Pid, sig)
	}
}

// stop ends the process: SIGTERM, then SIGKILL.
func (c *child) stop() {
	// It may have ended by itself: then there is nobody to signal.
	_ = c.signal(syscall.SIGTERM)
	_ = c.signal(syscall.SIGCONT) // a paused process would not see the SIGTERM
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		_ = c.signal(syscall.SIGKILL)
		<-c.done
	}
}

// awaitPong asks until the server answers PING, has ended, or ctx is done. It
// asks on the socket, which nobody else can own, whereas a port may be another's.
func (c *child) awaitPong(ctx context.Context, socket string) error {
	for delay := 2 * time.Millisecond; ; delay = min(2*delay, 50*time.Millisecond) {
		if ping(ctx, socket) {
			return nil
		}
		timer := time.NewTimer(delay)
		select {
		case <-c.done:
			timer.Stop()
			return fmt.Errorf("it ended at once: %s", c.log.String())
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("no answer: %w: %s", context.Cause(ctx), c.log.String())
		case <-timer.C:
		}
	}
}

// ping reports whether the server answers PING with PONG; while it loads its
// data it answers with an error.
func ping(ctx context.Context, socket string) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.TrimSpace(line) == "+PONG"
}

// freePort returns a port that nobody listens on at this moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// A tail keeps the last bytes written to it, for an error message.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
