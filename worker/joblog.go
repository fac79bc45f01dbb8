package worker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"longshore/internal/jobstore"
	"longshore/internal/printable"
	"longshore/job"
)

// What is kept of a run's log: its first lines and its last ones, each half at most.
const (
	logLines     = 1000
	logBytes     = 256 << 10
	logLine      = 8 << 10
	logRate      = 1000 // lines a second, after a burst of as many
	logFlush     = time.Second
	logFollowed  = 40 * time.Millisecond // where somebody follows
	logFlushSize = 8 << 10
	followedFor  = 3 * time.Second // since it was said last
	logEnd       = time.Second     // that the end of a run waits for
)

// A runLog keeps the log of one run. What is said of it in Redis is the newest part; the whole is stored
// at the
// end. A line's number is the run's delivery, and how many lines the run had written by then: a gap between
// two numbers tells how many were dropped.
type runLog struct {
	worker   *worker
	id       job.ID
	fence    string
	delivery int64
	attempt  int

	mu       sync.Mutex
	written  int64
	tokens   float64
	filled   time.Time
	first    []string
	firstBy  int
	last     []string
	lastBy   int
	pending  []string // not in Redis yet
	pendBy   int
	sizes    []int // of what is in Redis, oldest first
	timer    *time.Timer
	soon     bool // the timer is short
	busy     bool // a flush is under way
	closed   bool
	followed time.Time // until when

	hide func(text string) string // takes secrets out; nil = there are none
}

func (a *attempt) newLog() *runLog { // hide comes once the payload is open
	return &runLog{worker: a.worker, id: a.ticket.ID, fence: a.fence, delivery: a.ticket.Delivery,
		attempt: a.started.Attempt, tokens: logRate, followed: a.worker.followers.until(a.ticket.ID)}
}

// add takes one line, or what a program has written in a row: of a line that was written over again and
// again,
// as progress bars are, the newest state counts.
func (l *runLog) add(level slog.Level, text string) {
	if l.hide != nil {
		text = l.hide(text)
	}
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		line = strings.TrimRight(line, "\r")
		if i := strings.LastIndexByte(line, '\r'); i >= 0 {
			line = line[i+1:]
		}
		if len(line) > logLine {
			line = strings.ToValidUTF8(line[:logLine], "") + "…"
		}
		l.addLine(level, printable.Text(line))
	}
}

func (l *runLog) addLine(level slog.Level, line string) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed { // of a handler that was left behind
		return
	}
	l.written++
	if l.tokens = min(logRate, l.tokens+now.Sub(l.filled).Seconds()*logRate); l.filled.IsZero() {
		l.tokens = logRate
	}
	if l.filled = now; l.tokens < 1 {
		return
	}
	l.tokens--
	text := jobstore.LogLine(l.delivery, l.written, l.attempt, now, level, line)
	l.keep(text)
	l.pending, l.pendBy = append(l.pending, text), l.pendBy+len(text)
	for l.pendBy > jobstore.LogBytes && len(l.pending) > 1 {
		l.pendBy -= len(l.pending[0])
		l.pending = l.pending[1:]
	}
	l.arm(now)
}

// keep keeps the first lines and the last ones.
func (l *runLog) keep(text string) {
	if l.last == nil && len(l.first) < logLines/2 && l.firstBy+len(text) <= logBytes/2 {
		l.first, l.firstBy = append(l.first, text), l.firstBy+len(text)
		return
	}
	l.last, l.lastBy = append(l.last, text), l.lastBy+len(text)
	for len(l.last) > logLines/2 || l.lastBy > logBytes/2 {
		l.lastBy -= len(l.last[0])
		l.last = l.last[1:]
	}
}

// arm sees to it that what is pending is told in time.
func (l *runLog) arm(now time.Time) {
	wait, soon := logFlush, false
	if l.pendBy >= logFlushSize || now.Before(l.followed) {
		wait, soon = logFollowed, true
	}
	switch {
	case l.busy || len(l.pending) == 0:
	case l.timer == nil:
		l.timer, l.soon = time.AfterFunc(wait, l.flush), soon
	case soon && !l.soon && l.timer.Stop():
		l.timer, l.soon = time.AfterFunc(wait, l.flush), true
	}
}

// follow says that somebody wants to see lines at once.
func (l *runLog) follow(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.followed = until
	l.arm(time.Now())
}

// flush tells what is pending.
func (l *runLog) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	l.mu.Lock()
	l.timer, l.soon, l.busy = nil, false, true
	lines, followed := l.pending, time.Now().Before(l.followed)
	l.pending, l.pendBy = nil, 0
	sum := 0
	for _, line := range lines {
		l.sizes = append(l.sizes, len(line))
	}
	for i := len(l.sizes) - 1; i >= 0; i-- {
		if sum += l.sizes[i]; sum > jobstore.LogBytes {
			l.sizes = l.sizes[i+1:]
			break
		}
	}
	keep := max(len(l.sizes), 1)
	l.mu.Unlock()
	var err error
	if len(lines) > 0 {
		err = l.worker.sys.Store.AppendLog(ctx, l.id, l.fence, l.delivery, lines, keep, followed)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	if errors.Is(err, jobstore.ErrLost) {
		l.closed = true
		return
	}
	if !l.closed { // an error costs what was pending: the whole comes at the end
		l.arm(time.Now())
	}
}

// close takes no more lines, and tells those that are pending.
func (l *runLog) close() (written bool) {
	l.mu.Lock()
	l.closed = true
	pending, written := len(l.pending) > 0, l.written > 0
	if l.timer != nil && l.timer.Stop() {
		l.timer = nil
	}
	l.mu.Unlock()
	if pending {
		done := make(chan struct{})
		go func() { defer close(done); l.flush() }()
		wait(done, logEnd)
	}
	return written
}

// store keeps the whole log, after the run's end. Where that fails, readers have what is in Redis.
func (l *runLog) store(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := jobstore.WriteLog(ctx, l.worker.sys.Blobs, l.id, l.delivery, l.first, l.last); err != nil {
		l.worker.log.WarnContext(ctx, "the log of a run is not stored whole", "job_id", l.id, "error", err)
		return
	}
	err := l.worker.sys.Store.Logged(ctx, l.id, l.delivery, l.attempt, l.written)
	switch {
	case errors.Is(err, job.ErrNotFound): // its retention was shorter than this
		err = l.worker.sys.Blobs.Delete(ctx, jobstore.Folder(l.id))
	case err == nil:
		return
	}
	if err != nil {
		l.worker.log.WarnContext(ctx, "the log of a run is not noted", "job_id", l.id, "error", err)
	}
}

// followers are the jobs whose logs somebody follows, whether they run here or not.
type followers struct {
	mu  sync.Mutex
	ids map[job.ID]time.Time
}

func (f *followers) until(id job.ID) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ids[id]
}

// heard notes that somebody follows a job.
func (f *followers) heard(id job.ID) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.ids == nil || len(f.ids) > maxDone {
		f.ids = map[job.ID]time.Time{}
	}
	f.ids[id] = now.Add(followedFor)
	return f.ids[id]
}

// follow tells the run of a job that somebody follows its log.
func (w *worker) follow(id job.ID) {
	until := w.followers.heard(id)
	w.running.Range(func(key, _ any) bool {
		if a := key.(*attempt); a.ticket.ID == id {
			a.log.follow(until)
			return false
		}
		return true
	})
}
