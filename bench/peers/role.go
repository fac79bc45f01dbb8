package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Args is what every job carries: when its submission began, in nanoseconds
// since 1970, or 0 where nobody measures.
type Args struct {
	T int64 `json:"t"`
}

// A role is what one peer written in Go can do against a server.
type role struct {
	bulk    func(ctx context.Context, url string, n int) error
	trickle func(ctx context.Context, url string, each func(submit func(Args) error) error) error
	work    func(ctx context.Context, url string, t *tally) error
}

// A tally counts jobs and prints as the package comment says.
type tally struct {
	count, last atomic.Int64
	due         atomic.Bool // a report is
	mu          sync.Mutex
	out         *bufio.Writer
}

func newTally() *tally { return &tally{out: bufio.NewWriter(os.Stdout)} }

func (t *tally) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, format+"\n", args...)
	t.out.Flush()
}

func (t *tally) ready() { t.say("ready") }

// job is what every handler does.
func (t *tally) job(a Args) {
	now := time.Now().UnixNano()
	t.last.Store(now)
	t.count.Add(1)
	if t.due.CompareAndSwap(false, true) { // nothing ticks in an idle worker
		time.AfterFunc(10*time.Millisecond, t.report)
	}
	if a.T > 0 {
		t.say("late %d", now-a.T)
	}
}

func (t *tally) report() {
	t.due.Store(false)
	t.say("done %d %d %d", os.Getpid(), t.count.Load(), t.last.Load())
}

// play runs one role of a peer that is written in Go.
func play(r role, args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	url := os.Getenv("TARGET")
	t := newTally()
	number := func(i int) int {
		if i >= len(args) {
			return 0
		}
		n, _ := strconv.Atoi(args[i])
		return n
	}
	switch args[0] {
	case "bulk":
		began := time.Now()
		if err := r.bulk(ctx, url, number(1)); err != nil {
			return err
		}
		t.say("took %d", time.Since(began))
		return nil
	case "trickle":
		return r.trickle(ctx, url, func(submit func(Args) error) error {
			tick := time.NewTicker(time.Duration(number(2)) * time.Millisecond)
			defer tick.Stop()
			for range number(1) {
				<-tick.C
				if err := submit(Args{T: time.Now().UnixNano()}); err != nil {
					return err
				}
			}
			return nil
		})
	case "work":
		return r.work(ctx, url, t)
	}
	return fmt.Errorf("role %q is not known", args[0])
}
