// Package history is what a chaos run leaves behind: one line of JSON for each thing that
// a client, a program or the nemesis did or saw, on one clock. The checker reads nothing else.
package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A Kind says what an Event tells.
type Kind string

// The kinds. Which fields each has stands beside it; all have T.
const (
	Submit   Kind = "submit"   // Key, Way, Type: a client is about to send a submission
	Ack      Kind = "ack"      // Key, Job, Status, From: it was taken
	Refused  Kind = "refused"  // Key, Status, Code, N (Retry-After in s), From; Way for what is no submission
	Unknown  Kind = "unknown"  // Key, Text, From: no answer; it may have been taken
	Seen     Kind = "seen"     // Job, Way, Rev, State, Done, Digest, Attempt; From unless it was pushed
	Waited   Kind = "waited"   // Job, Way, Proc, From, Wait: a wait that ended, whatever came of it
	Parked   Kind = "parked"   // Job, Way, Key: somebody waits from now on; Key names the waiter
	Cancel   Kind = "cancel"   // Job, From: a cancel was accepted
	Offset   Kind = "offset"   // Job, N, From: an upload's offset, as the server told it
	Callback Kind = "callback" // Job, State, Rev, Digest: a webhook came
	Fault    Kind = "fault"    // Key (of this fault), Way, Proc, N (runs that it hit), Text
	Heal     Kind = "heal"     // Key, Way, Proc
	Start    Kind = "start"    // Proc, Job, Attempt: a worker's start was accepted
	End      Kind = "end"      // Proc, Job, State: its end was accepted, and ended the job
	Release  Kind = "release"  // Proc, Job, State: its end was accepted, and did not end the job
	Late     Kind = "late"     // Proc, Job: its end was not accepted, or it noticed that it had lost the job
	Noticed  Kind = "noticed"  // Proc: it told that Redis has lost its data
	Up       Kind = "up"       // Proc: started
	Exit     Kind = "exit"     // Proc, Status (exit code, -1 = by a signal), Wait (since SIGTERM), Text
	Tick     Kind = "tick"     // Job, Proc (a process id): a run of a type that forbids overlap works
	Final    Kind = "final"    // Job, Status, State, Rev, Attempt, N (failed attempts), Code, Digest
	Result   Kind = "result"   // Job, Status, Digest (of what came), Text (what it should be, if known)
	Listed   Kind = "listed"   // Job, State: it is in the list of all jobs, at the end
	Left     Kind = "left"     // Way, Text: something that should not be there any more
	Secret   Kind = "secret"   // Proc, Text: a secret was seen where none may be
	Settled  Kind = "settled"  // the load has ended and all faults are off
	Gauge    Kind = "gauge"    // Proc, Way (rss, fds, threads, keys), N
	Note     Kind = "note"     // Text; Way "seed", "sabotage"
)

// An Event is one line. Times are microseconds since the run began.
type Event struct {
	T       int64  `json:"t"`
	From    int64  `json:"from,omitempty"` // when the request began whose answer this is
	Kind    Kind   `json:"kind"`
	Key     string `json:"key,omitempty"`
	Job     string `json:"job,omitempty"`
	Way     string `json:"way,omitempty"`
	Type    string `json:"type,omitempty"`
	State   string `json:"state,omitempty"`
	Rev     int64  `json:"rev,omitempty"`
	Done    bool   `json:"done,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Status  int    `json:"status,omitempty"`
	Code    string `json:"code,omitempty"`
	Proc    string `json:"proc,omitempty"`
	N       int64  `json:"n,omitempty"`
	Wait    int64  `json:"wait,omitempty"` // microseconds
	Text    string `json:"text,omitempty"`
}

// Clock returns the machine's monotonic clock in microseconds: the same one in every process.
func Clock() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // it is there on every kernel that Go runs on
	}
	return t.Nano() / 1000
}

// A Log collects events, in memory and in a file. It is safe for concurrent use.
type Log struct {
	began int64

	mu     sync.Mutex
	events []Event
	file   *os.File
	out    *bufio.Writer
	err    error
}

// Create begins a history in a new file; its clock starts now.
func Create(path string) (*Log, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &Log{began: Clock(), file: f, out: bufio.NewWriter(f)}, nil
}

// Now is the time of an event that happens now.
func (l *Log) Now() int64 { return Clock() - l.began }

// At is the time of what Clock has told, in whatever process.
func (l *Log) At(clock int64) int64 { return clock - l.began }

// Add notes an event; one without a time happens now.
func (l *Log) Add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.T == 0 {
		e.T = l.Now()
	}
	l.events = append(l.events, e)
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.out.Write(append(line, '\n'))
	}
	l.err = errors.Join(l.err, err)
}

// Events returns a copy of what was noted so far, in the order in which it was noted.
func (l *Log) Events() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Event(nil), l.events...)
}

// Since returns a copy of what was noted from the nth event on.
func (l *Log) Since(n int) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Event(nil), l.events[min(n, len(l.events)):]...)
}

// Close writes what is left.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.out.Flush(), l.file.Close())
}

// Read reads a history. A last line that was cut off, as of a run that was killed, is left out.
func Read(r io.Reader) ([]Event, error) {
	var events []Event
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return events, fmt.Errorf("line %d: %w", n, err)
		}
		events = append(events, e)
	}
}
