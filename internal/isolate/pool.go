package isolate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"longshore/internal/family"
	"longshore/internal/sandbox"
)

// Config of a Pool.
type Config struct {
	Slots int          // most children at once; 0 = 1
	Works int          // a child is replaced after so many pieces of work; 0 = 1000
	Dir   string       // where work folders are made; "" = os.TempDir()
	Child Child        // what is kept warm, and does work that names no other
	Log   *slog.Logger // nil = silent
	// Lazy has children started when work wants them, and not before.
	Lazy bool
}

// A Child says what process does a piece of work.
type Child struct {
	Program string   // an executable whose first call of main is Main; "" = this one
	Memory  int64    // bytes that it may use beyond what it has at rest; 0 = no cap
	Env     []string // names of variables that it gets beside those of every child
	// Policy is what it may do (package sandbox); nil = what its parent may. Two kinds
	// with equal policies have one pointer.
	Policy *sandbox.Policy
}

func (k Child) equal(other Child) bool {
	return k.Program == other.Program && k.Memory == other.Memory && k.Policy == other.Policy &&
		slices.Equal(k.Env, other.Env)
}

// ErrClosed says that the pool was closed.
var ErrClosed = errors.New("pool of children is closed")

// A Pool keeps warm children, one a slot. Its methods are safe for concurrent
// use.
type Pool struct {
	config Config
	base   *base

	slots   chan *slot
	starter *family.Starter
	ctx     context.Context // ends with Close
	close   context.CancelFunc
	wg      sync.WaitGroup // replacements under way, and the pool's own loops
}

// A slot has one child or none.
type slot struct{ child *child }

// drop ends the child.
func (s *slot) drop() {
	s.child.end()
	s.child = nil
}

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
	program, err := family.Program()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	c.Child.Program = cmp.Or(c.Child.Program, program)
	base, err := newBase(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("make folder for work: %w", err)
	}
	if err := family.AdoptOrphans(); err != nil {
		c.Log.Warn("orphans of killed children can't be adopted", "error", err)
	}
	p := &Pool{config: c, base: base, slots: make(chan *slot, c.Slots), starter: family.NewStarter()}
	p.ctx, p.close = context.WithCancel(context.Background())
	p.wg.Go(func() { family.ReapOrphans(p.ctx) })
	for range c.Slots {
		if c.Lazy {
			p.slots <- &slot{}
			continue
		}
		p.wg.Go(func() { p.putBack(&slot{}) })
	}
	return p, nil
}

func (p *Pool) newChild(ctx context.Context, kind Child) (*child, error) {
	return newChild(ctx, p.starter, kind, filepath.Base(p.base.path))
}

// putBack makes a slot free again, with a warm child in it. One that could not
// be started is started by the next work that wants it, which then gets the
// error.
func (p *Pool) putBack(s *slot) {
	if s.child == nil && p.ctx.Err() == nil && !p.config.Lazy {
		var err error
		if s.child, err = p.newChild(p.ctx, p.config.Child); err != nil && p.ctx.Err() == nil {
			p.config.Log.ErrorContext(p.ctx, "child can't be started", "error", err)
		}
	}
	p.slots <- s
}

// take returns a free slot with a child that lives and is what the work needs.
func (p *Pool) take(ctx context.Context, kind Child) (*slot, error) {
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
		case <-s.child.family.Ended(): // died, or was killed, while it was idle
			s.drop()
		default:
			if !s.child.kind.equal(kind) {
				s.drop()
			}
		}
	}
	if s.child == nil {
		var err error
		if s.child, err = p.newChild(ctx, kind); err != nil {
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
	p.starter.Close()
	return p.base.remove()
}
