package isolate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// Config of a Pool.
type Config struct {
	Slots  int          // most children at once; 0 = 1
	Memory int64        // bytes that a child may use beyond what it has at rest; 0 = no cap
	Works  int          // a child is replaced after so many pieces of work; 0 = 1000
	Dir    string       // where work folders are made; "" = os.TempDir()
	Env    []string     // names of variables that children get beside those of every child
	Log    *slog.Logger // nil = silent
}

// ErrClosed says that the pool was closed.
var ErrClosed = errors.New("pool of children is closed")

// A Pool keeps warm children, one a slot. Its methods are safe for concurrent
// use.
type Pool struct {
	config  Config
	program string
	base    *base

	slots   chan *slot
	spawns  chan func()
	spawned chan struct{}   // closed when spawn has returned
	ctx     context.Context // ends with Close
	close   context.CancelFunc
	wg      sync.WaitGroup // replacements under way, and the pool's own loops
}

// A slot has one child or none.
type slot struct{ child *child }

// Open returns a pool and begins to start its children.
func Open(c Config) (*Pool, error) {
	if os.Getenv(modeVariable) != "" {
		return nil, errors.New("this process is a child itself: Main must be the first call of main")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Slots = max(c.Slots, 1)
	if c.Works == 0 {
		c.Works = 1000
	}
	if c.Dir == "" {
		c.Dir = os.TempDir()
	}
	program, err := self()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	base, err := newBase(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("make folder for work: %w", err)
	}
	if err := adoptOrphans(); err != nil {
		c.Log.Warn("orphans of killed children can't be adopted", "error", err)
	}
	p := &Pool{config: c, program: program, base: base, slots: make(chan *slot, c.Slots), spawns: make(chan func()), spawned: make(chan struct{})}
	p.ctx, p.close = context.WithCancel(context.Background())
	p.wg.Go(p.reapOrphans)
	go p.spawn()
	for range c.Slots {
		p.wg.Go(func() { p.putBack(&slot{}) })
	}
	return p, nil
}

// spawn starts processes, on a thread of its own that lives as long as they
// may: the kernel sends the parent-death signal when the thread that started
// the child ends, not the process (prctl(2)).
func (p *Pool) spawn() {
	defer close(p.spawned)
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	for start := range p.spawns {
		start()
	}
}

func (p *Pool) onSpawner(start func() error) error {
	done := make(chan error, 1)
	p.spawns <- func() { done <- start() }
	return <-done
}

func (p *Pool) newChild(ctx context.Context) (*child, error) {
	return newChild(ctx, p.config.Memory, p.config.Env, p.program, filepath.Base(p.base.path), p.onSpawner)
}

// putBack makes a slot free again, with a warm child in it. One that could not
// be started is started by the next work that wants it, which then gets the
// error.
func (p *Pool) putBack(s *slot) {
	if s.child == nil && p.ctx.Err() == nil {
		var err error
		if s.child, err = p.newChild(p.ctx); err != nil && p.ctx.Err() == nil {
			p.config.Log.ErrorContext(p.ctx, "child can't be started", "error", err)
		}
	}
	p.slots <- s
}

// take returns a free slot with a child that lives.
func (p *Pool) take(ctx context.Context) (*slot, error) {
	var s *slot
	select {
	case s = <-p.slots:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-p.ctx.Done():
		return nil, ErrClosed
	}
	if s.child != nil {
		select {
		case <-s.child.ended: // died, or was killed, while it was idle
			s.child.end()
			s.child = nil
		default:
		}
	}
	if s.child == nil {
		var err error
		if s.child, err = p.newChild(ctx); err != nil {
			p.slots <- s
			return nil, fmt.Errorf("%w: %w", ErrStart, err)
		}
	}
	return s, nil
}

// ErrStart says that there is no child: the work has not begun.
var ErrStart = errors.New("no child process")

// Close ends all children and removes all work folders. No Run may be under
// way, and none follow.
func (p *Pool) Close() error {
	p.close()
	for range p.config.Slots {
		if s := <-p.slots; s.child != nil {
			s.child.end()
		}
	}
	p.wg.Wait()
	close(p.spawns)
	<-p.spawned
	return p.base.remove()
}

// reapOrphans takes notice of the end of processes that became ours because
// their parents died, and of which nobody else here knows: orphans of children,
// and all orphans where this process is number 1. A zombie in our own process
// group is left alone, since somebody in this program may wait for it; any other
// is reaped when it was seen twice.
func (p *Pool) reapOrphans() {
	tick := time.NewTicker(orphansEvery)
	defer tick.Stop()
	var seen map[int]int64
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
			seen = reapSeen(seen)
		}
	}
}

// reapSeen reaps the zombies among our children that were seen before, and
// returns the others: when each began, by its number.
func reapSeen(before map[int]int64) (now map[int]int64) {
	us, group := os.Getpid(), ownGroup()
	now = map[int]int64{}
	for _, z := range processes() {
		if z.parent != us || !z.zombie || z.group == group {
			continue
		}
		if began, ok := before[z.pid]; ok && began == z.began {
			reap(z.pid)
		} else {
			now[z.pid] = z.began
		}
	}
	return now
}

const orphansEvery = 10 * time.Second
