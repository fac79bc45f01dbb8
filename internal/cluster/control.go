package cluster

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const controlName = "control"

// A Request is one line of JSON to the control socket.
type Request struct {
	Do   string `json:"do"`             // status, scale or restart
	Type string `json:"type,omitempty"` // of scale; of restart, where "" = all
	N    int    `json:"n,omitempty"`    // of scale
	Max  int    `json:"max,omitempty"`  // of scale; 0: N it is
}

// An Answer is one line of JSON; the last one of a request has Done.
type Answer struct {
	Line      string   `json:"line,omitempty"`
	Processes []Status `json:"processes,omitempty"`
	Done      bool     `json:"done,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// A command is a request with its way back. answer never blocks.
type command struct {
	Request
	answer func(Answer)
}

// obey does what a request asks for, in the loop.
func (c *cluster) obey(cmd *command) {
	done := func(err error) {
		a := Answer{Done: true}
		if err != nil {
			a.Error = err.Error()
		}
		cmd.answer(a)
	}
	switch {
	case cmd.Do == "status":
		cmd.answer(Answer{Done: true, Processes: c.status()})
	case c.closing:
		done(errors.New("the cluster ends"))
	case cmd.Do == "scale":
		done(c.scale(Count{cmd.Type, cmd.N, cmd.Max}))
	case cmd.Do == "restart":
		c.restart(cmd.Type, func(line string, end bool, err error) {
			if end {
				done(err)
			} else {
				cmd.answer(Answer{Line: line})
			}
		})
	default:
		done(fmt.Errorf("unknown request %q", cmd.Do))
	}
}

// A control is the socket of cluster status and the others: only its user may connect.
type control struct {
	l     net.Listener
	conns sync.WaitGroup
	gone  chan struct{}
}

func openControl(folder string) (*control, error) {
	path := filepath.Join(folder, controlName) // in a folder that nobody else may enter
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open the control socket: %w", err), l.Close())
	}
	return &control{l: l, gone: make(chan struct{})}, nil
}

// Limits of the control socket.
const (
	maxRequest = 4 << 10
	maxAnswers = 4 * maxCount // that one who doesn't read may have open
	talkTime   = 10 * time.Second
)

// serve takes requests until close. ended: nobody obeys any more.
func (ctl *control) serve(tell func(event), ended <-chan struct{}) {
	room := make(chan struct{}, 16)
	for {
		conn, err := ctl.l.Accept()
		if err != nil {
			ctl.conns.Wait()
			return
		}
		select {
		case room <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		ctl.conns.Go(func() {
			defer func() { <-room }()
			defer conn.Close()
			talk(conn, tell, ended)
		})
	}
}

func (ctl *control) close() { _ = ctl.l.Close() }

// talk serves one request.
func talk(conn net.Conn, tell func(event), ended <-chan struct{}) {
	conn.SetDeadline(time.Now().Add(talkTime))
	var r Request
	line, err := bufio.NewReader(io.LimitReader(conn, maxRequest)).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	out := json.NewEncoder(conn)
	if err != nil {
		out.Encode(Answer{Done: true, Error: "expected one line of JSON"})
		return
	}
	answers := make(chan Answer, maxAnswers)
	tell(event{command: &command{Request: r, answer: func(a Answer) {
		select {
		case answers <- a:
		default: // it will see how it ends by its own request
		}
	}}})
	for {
		select {
		case a := <-answers:
			conn.SetDeadline(time.Now().Add(talkTime))
			if out.Encode(a) != nil || a.Done {
				return
			}
		case <-ended:
			select {
			case a := <-answers:
				out.Encode(a)
			default:
				out.Encode(Answer{Done: true, Error: "the cluster has ended"})
			}
			return
		}
	}
}

// ErrNone says that no cluster runs with a folder.
var ErrNone = errors.New("no cluster runs here")

// Ask sends a request to the cluster of a folder, and returns its last answer; each is
// called for those before it.
func Ask(folder string, r Request, each func(Answer)) (Answer, error) {
	conn, err := net.DialTimeout("unix", filepath.Join(folder, controlName), time.Second)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrNone, err)
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		return Answer{}, err
	}
	for in := json.NewDecoder(conn); ; {
		var a Answer
		if err := in.Decode(&a); err != nil {
			return Answer{}, fmt.Errorf("the cluster's answer: %w", err)
		}
		if a.Done {
			return a, nil
		}
		each(a)
	}
}
