// Package lock keeps processes out of each other's way by named locks in Redis.
package lock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Locks are named locks that processes share. A lock belongs to a random token,
// is renewed while it is held, and frees itself seconds after its process died.
// It keeps well-behaved processes out of each other's way; it is no fence, since
// a process may be paused beyond its lock's end and not know it.
//
// Whoever wants a lock that is taken asks its holder, through a channel, to let
// go. The subscription is the caller's: it hands what arrives to Asked.
type Locks struct {
	rdb    redis.UniversalClient
	prefix string

	mu   sync.Mutex
	held map[string]*Lock
}

// Times of a lock. Tests know the first.
const (
	lockTTL      = 4 * time.Second
	lockRenewal  = time.Second
	lockPoll     = 25 * time.Millisecond // between tries to get one, doubled up to …
	lockPollMost = 200 * time.Millisecond
	unlockWait   = 3 * time.Second // for Redis, at an unlock
)

// ErrLocked says that a lock's holder did not let go in time.
var ErrLocked = errors.New("lock is held by somebody else")

// New returns locks under "<prefix>:lock:". It starts nothing.
func New(rdb redis.UniversalClient, prefix string) *Locks {
	return &Locks{rdb: rdb, prefix: prefix, held: map[string]*Lock{}}
}

// Channel is where names of wanted locks are published.
func (l *Locks) Channel() string { return l.prefix + ":wanted" }

// Asked tells the holder of a lock, if it is in this process, that somebody
// else wants it.
func (l *Locks) Asked(name string) {
	l.mu.Lock()
	lock := l.held[name]
	l.mu.Unlock()
	if lock != nil {
		lock.ask()
	}
}

// A Lock is one lock that is held.
type Lock struct {
	locks     *Locks
	name, key string
	token     string
	ask       func()
	stop      context.CancelFunc
	ended     chan struct{} // closed when nobody renews it any more
}

var (
	renewLock = redis.NewScript(`if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)
	freeLock = redis.NewScript(`if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)
)

// Lock waits for a lock, and asks its holder to let go. asked is called, once
// at most and from another goroutine, when somebody else wants it, or when it
// was lost. ErrLocked: ctx ended first; other errors are Redis's.
func (l *Locks) Lock(ctx context.Context, name string, asked func()) (*Lock, error) {
	lock := &Lock{locks: l, name: name, key: l.prefix + ":lock:" + name, token: rand.Text(),
		ask: sync.OnceFunc(asked), ended: make(chan struct{})}
	for pause := lockPoll; ; pause = min(2*pause, lockPollMost) {
		got, err := l.rdb.SetNX(ctx, lock.key, lock.token, lockTTL).Result()
		if err == nil && got {
			break
		}
		if err == nil { // each time: the message before may have come too early, or not at all
			err = l.rdb.Publish(ctx, l.Channel(), name).Err()
		}
		if ctx.Err() != nil {
			// The answer to a SET that took it may have been lost.
			return nil, errors.Join(fmt.Errorf("lock %s: %w", name, ErrLocked), lock.free())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), lock.free())
		}
		l.Asked(name) // it may be ours: no need to wait for the message
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	renewals, stop := context.WithCancel(context.WithoutCancel(ctx))
	lock.stop = stop
	l.mu.Lock()
	l.held[name] = lock
	l.mu.Unlock()
	go lock.renew(renewals)
	return lock, nil
}

// renew keeps the lock until it is unlocked or lost.
func (k *Lock) renew(ctx context.Context) {
	defer close(k.ended)
	tick := time.NewTicker(lockRenewal)
	defer tick.Stop()
	until := time.Now().Add(lockTTL)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		sent := time.Now()
		call, cancel := context.WithDeadline(ctx, until)
		still, err := renewLock.Run(call, k.locks.rdb, []string{k.key}, k.token, lockTTL.Milliseconds()).Int()
		cancel()
		switch {
		case err == nil && still == 1:
			until = sent.Add(lockTTL)
		case err == nil, !time.Now().Before(until):
			k.ask()
			return
		}
	}
}

// Unlock frees the lock. An error is Redis's, and means that the lock frees
// itself in some seconds.
func (k *Lock) Unlock() error {
	k.stop()
	<-k.ended
	k.locks.mu.Lock()
	if k.locks.held[k.name] == k {
		delete(k.locks.held, k.name)
	}
	k.locks.mu.Unlock()
	return k.free()
}

func (k *Lock) free() error {
	ctx, cancel := context.WithTimeout(context.Background(), unlockWait)
	defer cancel()
	if err := freeLock.Run(ctx, k.locks.rdb, []string{k.key}, k.token).Err(); err != nil {
		return fmt.Errorf("unlock %s: %w", k.name, err)
	}
	return nil
}
