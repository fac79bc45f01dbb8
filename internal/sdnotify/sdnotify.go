// Package sdnotify is what a process and its supervisor say to each other, in systemd's
// words: sd_notify(3), a datagram of lines NAME=value to the socket that NOTIFY_SOCKET
// names, and sd_listen_fds(3), sockets that the supervisor has opened. systemd and
// cluster both speak so.
package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The words that are said and understood here.
const (
	Ready    = "READY=1"    // it does its work now
	Stopping = "STOPPING=1" // it ends
	Watchdog = "WATCHDOG=1" // it lives; said again and again
	busy     = "X_BUSY="    // how many jobs it runs; systemd leaves X_ alone
	// Starting says nothing but that words will come.
	Starting = "STATUS=starting"
)

// Busy is the word for a number of running jobs.
func Busy(n int) string { return busy + strconv.Itoa(n) }

// ReadBusy returns that number.
func ReadBusy(word string) (n int, ok bool) {
	text, ok := strings.CutPrefix(word, busy)
	n, err := strconv.Atoi(text)
	return n, ok && err == nil && n >= 0
}

// A Notifier speaks to the supervisor. nil says nothing.
type Notifier struct {
	address *net.UnixAddr
	every   time.Duration
}

// New returns a Notifier to the socket of that path, or name with a leading @ (unix(7),
// abstract); nil where it is empty. watchdog is the supervisor's patience with one that
// is silent (WATCHDOG_USEC); 0 = it has no end.
func New(socket string, watchdog time.Duration) *Notifier {
	if socket == "" {
		return nil
	}
	n := &Notifier{address: &net.UnixAddr{Name: socket, Net: "unixgram"}}
	if watchdog > 0 {
		n.every = min(5*time.Second, watchdog/3)
	}
	return n
}

// Say tells the supervisor words. One that isn't there any more, or doesn't read, is
// no error: nothing here depends on it.
func (n *Notifier) Say(words ...string) {
	if n == nil {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, n.address)
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte(strings.Join(words, "\n")))
	_ = conn.Close()
}

// Beat says Watchdog, and what more tells, as often as the supervisor wants until ctx
// ends. more may be nil; if it returns ok = false nothing is said.
func (n *Notifier) Beat(ctx context.Context, more func() (words []string, ok bool)) {
	if n == nil || n.every == 0 {
		return
	}
	tick := time.NewTicker(n.every)
	defer tick.Stop()
	for {
		words, ok := []string(nil), true
		if more != nil {
			words, ok = more()
		}
		if ok {
			n.Say(append([]string{Watchdog}, words...)...)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// firstFD is SD_LISTEN_FDS_START.
const firstFD = 3

// Listener returns the socket that a supervisor has opened for this process, nil where
// there is none: fds and pid are LISTEN_FDS and LISTEN_PID, 0 where not set.
func Listener(fds, pid int) (net.Listener, error) {
	if fds == 0 || pid != os.Getpid() { // what is for another process is not ours
		return nil, nil
	}
	if fds != 1 {
		return nil, fmt.Errorf("LISTEN_FDS: expected one socket, not %d", fds)
	}
	syscall.CloseOnExec(firstFD)
	file := os.NewFile(firstFD, "LISTEN_FD_3")
	if file == nil {
		return nil, errors.New("LISTEN_FDS: descriptor 3 is not open")
	}
	defer file.Close() // FileListener has one of its own
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("LISTEN_FDS: descriptor 3 is no socket that listens: %w", err)
	}
	if l, ok := l.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false) // the path is the supervisor's
	}
	return l, nil
}

// A Receiver is the supervisor's end: a socket for the words of one process.
type Receiver struct{ conn *net.UnixConn }

// Receive opens the socket at a path, which must be free.
func Receive(path string) (*Receiver, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("open a socket for words: %w", err)
	}
	return &Receiver{conn}, nil
}

// maxWords is what one datagram may have in bytes; more is cut.
const maxWords = 4 << 10

// Words calls heard for each word until Close.
func (r *Receiver) Words(heard func(word string)) {
	buf := make([]byte, maxWords)
	for {
		n, err := r.conn.Read(buf)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(buf[:n])) {
			heard(strings.TrimSuffix(line, "\n"))
		}
	}
}

// Close removes the socket.
func (r *Receiver) Close() {
	name := r.conn.LocalAddr().String()
	_ = r.conn.Close() // nothing was promised to who speaks
	_ = os.Remove(name)
}
