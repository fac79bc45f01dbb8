package lambda

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"longshore/handlers"
	"longshore/internal/functions"
)

// A Pool bounds the warm processes of all functions of a host. Its zero value is not
// ready: NewPool.
type Pool struct {
	most int // processes; those that run jobs may be more

	mu     sync.Mutex
	living int        // processes that serve, or will
	idle   []*process // the one that was used last at the end

	numbers map[int]bool // of all that are not gone
}

// NewPool returns a pool that keeps at most so many processes.
func NewPool(most int) *Pool { return &Pool{most: max(most, 1), numbers: map[int]bool{}} }

// shrink ends processes that nobody uses, until there are at most so many or none is
// idle; mu is held.
func (p *Pool) shrink(most int) {
	for p.living > most && len(p.idle) > 0 {
		oldest := p.idle[0]
		p.remove(oldest)
		oldest.owner.retire(oldest)
	}
}

// leave counts a process no more; mu is held.
func (p *Pool) leave(one *process) {
	if one.counted {
		one.counted = false
		p.living--
	}
}

// remove takes a process out of the idle ones, and reports whether it was among them;
// mu is held.
func (p *Pool) remove(one *process) bool {
	i := slices.Index(p.idle, one)
	if i < 0 {
		return false
	}
	p.idle = slices.Delete(p.idle, i, i+1)
	one.timer.Stop()
	return true
}

// forget is called once a process is gone.
func (p *Pool) forget(one *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leave(one)
	p.remove(one)
	delete(p.numbers, one.number)
	one.owner.signal()
}

// failedStart is a start that failed: the attempt has, too.
type failedStart struct{ err error }

func (f *failedStart) Error() string { return "start: " + f.err.Error() }
func (f *failedStart) Unwrap() error { return f.err }

// take returns a process that waits for an event. Errors: a *failedStart, a
// *handlers.Postponement where the pause after one isn't over, the context's cause.
func (x *Executor) take(ctx context.Context) (*process, error) {
	timer := time.NewTimer(x.waitForWarm)
	defer timer.Stop()
	for waited := false; ; {
		x.pool.mu.Lock()
		if one := x.warm(); one != nil {
			x.pool.mu.Unlock()
			return one, nil
		}
		if waited || x.returning == 0 {
			return x.fresh(ctx)
		}
		changed := x.changed
		x.pool.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			waited = true
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// warm takes the idle process of this function that was used last; the pool's lock is held.
func (x *Executor) warm() *process {
	for _, one := range slices.Backward(x.pool.idle) {
		if one.owner == x {
			x.pool.remove(one)
			return one
		}
	}
	return nil
}

// fresh starts a process, with the pool's lock held, which it lets go of.
func (x *Executor) fresh(ctx context.Context) (*process, error) {
	if pause := time.Until(x.notBefore); pause > 0 {
		x.pool.mu.Unlock()
		return nil, handlers.After(pause)
	}
	x.pool.shrink(x.pool.most - 1)
	x.pool.living++
	number := x.number()
	x.pool.mu.Unlock()
	one, err := x.launch(number)
	if err != nil {
		x.pool.mu.Lock()
		x.pool.living--
		delete(x.pool.numbers, number)
		x.startFailed()
		x.pool.mu.Unlock()
		if errors.Is(err, functions.ErrNotStarted) {
			return nil, err
		}
		return nil, &failedStart{err}
	}
	ready := make(chan error, 1)
	x.wg.Go(func() { ready <- x.ripen(one) })
	select {
	case err = <-ready:
		if err != nil {
			return nil, &failedStart{err}
		}
		return one, nil
	case <-ctx.Done():
		// It may become ready for the next job.
		x.wg.Go(func() {
			if <-ready == nil {
				x.rest(one)
			}
		})
		return nil, context.Cause(ctx)
	}
}

// number draws a number that no living process has, nor a slot: processes have users by
// it. The pool's lock is held.
func (x *Executor) number() int {
	n := 0
	for _, slots := range x.host.Slots {
		n += slots
	}
	for x.pool.numbers[n] {
		n++
	}
	x.pool.numbers[n] = true
	return n
}

// ripen waits until a process is ready. One that isn't ends.
func (x *Executor) ripen(one *process) error {
	err := one.awaitReady(x.closing)
	if err == nil {
		one.crew = one.family.Tree(mostCrew).Processes
	}
	x.pool.mu.Lock()
	if err == nil {
		x.pause = 0
		x.notBefore = time.Time{}
	} else if x.closing.Err() == nil {
		x.startFailed()
	}
	x.pool.mu.Unlock()
	if err != nil {
		one.end(0)
	}
	return err
}

// startFailed puts the next start off; the pool's lock is held. Starts that fail
// together count once.
func (x *Executor) startFailed() {
	now := time.Now()
	if now.Before(x.notBefore) {
		return
	}
	x.pause = min(max(2*x.pause, leastBackoff), mostBackoff)
	x.notBefore = now.Add(x.pause)
}

// rest makes an idle process free for the next job, or ends it where it is one too many.
func (x *Executor) rest(one *process) {
	p := x.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	defer x.signal()
	if x.closing.Err() != nil {
		x.retire(one)
		return
	}
	p.idle = append(p.idle, one)
	if one.unseen {
		one.timer = time.AfterFunc(lookEvery, func() { x.lookAt(one) })
	} else {
		one.timer = time.AfterFunc(idlePatience, func() { x.expire(one) })
	}
	p.shrink(p.most)
	select {
	case <-one.family.Ended(): // forget may have been before
		p.remove(one)
	default:
	}
}

// expire ends a process that nobody needed for long.
func (x *Executor) expire(one *process) {
	x.pool.mu.Lock()
	defer x.pool.mu.Unlock()
	if x.pool.remove(one) {
		x.retire(one)
	}
}

// lookAt looks for what the last jobs of an idle process may have left behind.
func (x *Executor) lookAt(one *process) {
	x.pool.mu.Lock()
	if !x.pool.remove(one) { // it has a job again
		x.pool.mu.Unlock()
		return
	}
	x.returning++
	x.wg.Go(func() {
		fit := one.alone()
		x.pool.mu.Lock()
		x.returning--
		x.pool.mu.Unlock()
		if fit {
			x.rest(one)
			return
		}
		x.discard(one, x.host.KillGrace)
	})
	x.pool.mu.Unlock()
}

// retire ends a process in peace, in the background; the pool's lock is held.
func (x *Executor) retire(one *process) {
	x.pool.leave(one)
	x.wg.Go(func() { one.end(x.host.KillGrace) })
}

// signal wakes those who wait for a process of the function; the pool's lock is held.
func (x *Executor) signal() {
	close(x.changed)
	x.changed = make(chan struct{})
}

// giveBack waits, in the background, until a process is free again after an answer.
func (x *Executor) giveBack(one *process) {
	x.pool.mu.Lock()
	x.returning++
	x.pool.mu.Unlock()
	x.wg.Go(func() {
		fit := x.tidied(one)
		x.pool.mu.Lock()
		x.returning--
		x.pool.mu.Unlock()
		if fit {
			x.rest(one)
			return
		}
		x.discard(one, x.host.KillGrace)
	})
}

// discard ends a process and returns when it is gone.
func (x *Executor) discard(one *process, grace time.Duration) {
	x.pool.mu.Lock()
	x.pool.leave(one)
	x.signal()
	x.pool.mu.Unlock()
	one.end(grace)
}
