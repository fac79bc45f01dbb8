package lock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
	"longshore/internal/lock"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// TestLock has two processes want one lock: the holder is asked, lets go, and
// the other one gets it.
func TestLock(t *testing.T) {
	t.Parallel()
	prefix := redistest.Prefix(t)
	a, b := lock.New(redistest.Client(t), prefix), lock.New(redistest.Client(t), prefix)
	sub := redistest.Client(t).Subscribe(t.Context(), a.Channel())
	defer sub.Close()
	go func() {
		for m := range sub.Channel() {
			a.Asked(m.Payload)
		}
	}()
	asked := make(chan struct{}, 1)
	held, err := a.Lock(t.Context(), "x", func() { asked <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	if other, err := b.Lock(t.Context(), "y", func() {}); err != nil {
		t.Errorf("another lock: %v", err)
	} else if err := other.Unlock(); err != nil {
		t.Error(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := b.Lock(short, "x", func() {}); !errors.Is(err, lock.ErrLocked) {
		t.Errorf("lock that is held: %v", err)
	}
	<-asked
	got := make(chan error, 1)
	go func() {
		second, err := b.Lock(t.Context(), "x", func() {})
		if err == nil {
			err = second.Unlock()
		}
		got <- err
	}()
	if err := held.Unlock(); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestLockWithinAProcess doesn't need a message to ask the holder.
func TestLockWithinAProcess(t *testing.T) {
	t.Parallel()
	locks := lock.New(redistest.Client(t), redistest.Prefix(t))
	asked := make(chan struct{})
	held, err := locks.Lock(t.Context(), "x", func() { close(asked) })
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-asked
		if err := held.Unlock(); err != nil {
			t.Error(err)
		}
	}()
	second, err := locks.Lock(t.Context(), "x", func() {})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Unlock(); err != nil {
		t.Error(err)
	}
}

// TestDeadLock frees itself seconds after its process died, and a holder whose
// lock was taken away is told.
func TestDeadLock(t *testing.T) {
	t.Parallel()
	prefix, rdb := redistest.Prefix(t), redistest.Client(t)
	if err := rdb.Set(t.Context(), prefix+":lock:x", "the dead one's", 500*time.Millisecond).
		Err(); err != nil {
		t.Fatal(err)
	}
	if !redistest.Real() {
		t.Skip("needs a redis-server: the stand-in's keys don't end by themselves")
	}
	lost := make(chan struct{})
	held, err := lock.New(rdb, prefix).Lock(t.Context(), "x", func() { close(lost) })
	if err != nil {
		t.Fatal(err)
	}
	if ttl := rdb.PTTL(t.Context(), prefix+":lock:x").Val(); ttl <= 0 || ttl > 5*time.Second {
		t.Errorf("a lock of a dead process stays for %v", ttl)
	}
	if err := rdb.Set(t.Context(), prefix+":lock:x", "another one's", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	<-lost
	if err := held.Unlock(); err != nil {
		t.Error(err)
	}
	if got := rdb.Get(t.Context(), prefix+":lock:x").Val(); got != "another one's" {
		t.Errorf("unlock took another one's lock: %q", got)
	}
}
