package jobstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// writeFormat2 writes what a process of format 2 left: an open job that waits for a time, one that has
// ended and owes a callback, their tickets and claims.
func writeFormat2(t *testing.T, s *Store) {
	t.Helper()
	ctx := t.Context()
	open, ended := job.NewIDIn(time.Now(), 3), job.NewIDIn(time.Now(), 12)
	for _, w := range []struct {
		id     job.ID
		moving string
	}{{open, "w 1 0 0 0 0 0 - -"}, {ended, "s 3 1 1 0 1700000000000 0 - 0123456789abcdef"}} {
		base := s.oldBase(w.id.Shard())
		s.rdb.HSet(ctx, base+"j:"+string(w.id), "h", "2 io-default 3 60000 3600000 0 1 test.job", "m",
			w.moving, "c", "1700000000000", "at", "1800000000000", "ik", strings.Repeat("ab", 16))
		s.rdb.Set(ctx, base+"i:"+strings.Repeat("ab", 16), string(w.id), 0)
		s.rdb.Set(ctx, base+"p:"+string(w.id), "{}", 0)
		s.rdb.ZAdd(ctx, base+"ids", z(string(w.id), 0))
		s.rdb.ZAdd(ctx, base+"due", z(string(w.id), 1))
		s.rdb.Set(ctx, base+"swept", "1", 0)
	}
	s.rdb.ZAdd(ctx, s.oldBase(12)+"callbacks", z(string(ended), 1))
	keys := s.keysOf("io-default", 0)
	name := strings.ReplaceAll(string(open), "-", "") + ".1"
	s.rdb.HSet(ctx, keys+"t:"+name, "msg", "x", "state", "pending")
	s.rdb.LPush(ctx, keys+"pending", name)
	s.rdb.LPush(ctx, keys+"active", name)
	s.rdb.Set(ctx, s.prefix+":blobs", "the folder", 0)
}

func TestFormat2IsRefused(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t), Config{Prefix: redistest.Prefix(t)})
	writeFormat2(t, s)
	err := s.Open(t.Context())
	if !errors.Is(err, ErrFormat2) ||
		!strings.Contains(err.Error(),
			"1 open jobs, the last of them at 2027-01-15T08:00:00Z, 1 callbacks to be delivered, 1 ended jobs") ||
		!strings.Contains(err.Error(), "--drop-format-2") {
		t.Fatalf("open: %v", err)
	}
	if n := s.rdb.Exists(t.Context(), s.metaKey()).Val(); n != 0 {
		t.Error("it was opened all the same")
	}
	if blobs := s.rdb.Get(t.Context(), s.prefix+":blobs").Val(); blobs != "the folder" {
		t.Errorf("the older release would end with %q", blobs)
	}
	// A process of format 2 still sweeps: nothing goes.
	ctx, cancel := context.WithTimeout(t.Context(), quietFor/2)
	defer cancel()
	if err := s.DropFormat2(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("drop while it may be at work: %v", err)
	}
	if blobs := s.rdb.Get(t.Context(), s.prefix+":blobs").Val(); blobs != "the folder" {
		t.Errorf("who drains it can't start again: blobs says %q", blobs)
	}
	if f, err := s.LookAtFormat2(t.Context()); err != nil || f.Open != 1 || f.Ended != 1 || f.Callbacks != 1 {
		t.Errorf("there is %+v, %v", f, err)
	}
	for range 2 { // it may be repeated
		if err := s.DropFormat2(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if place, err := s.RegisterBlobs(t.Context(), "another"); err != nil || place != "the folder" {
		t.Errorf("the files lie at %q, %v", place, err)
	}
	left := s.rdb.Keys(t.Context(), "*"+s.prefix+"*").Val()
	if len(left) != 2 { // meta, blobs
		t.Errorf("left: %q", left)
	}
	n := simple()
	mustCreate(t, s, n)
	if err := s.Open(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.DropFormat2(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), n.ID); err != nil {
		t.Errorf("a job of this format after one more drop: %v", err)
	}
	if ticket, ok := (handQueue{s}).pop(); !ok || ticket.ID != n.ID {
		t.Errorf("its ticket: %+v, %v", ticket, ok)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	rdb, prefix := redistest.Client(t), redistest.Prefix(t)
	s := New(rdb, Config{Prefix: prefix})
	for range 2 {
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first, err1 := s.Epoch(t.Context())
	again, err2 := s.Epoch(t.Context())
	if err1 != nil || err2 != nil || first == "" || first != again {
		t.Errorf("epochs %q and %q, %v, %v", first, again, err1, err2)
	}
	if err := New(rdb, Config{Prefix: prefix, Partitions: 16}).Open(t.Context()); !errors.Is(err,
		ErrPartitions) {
		t.Errorf("with 16 partitions: %v", err)
	}
	rdb.HSet(t.Context(), s.metaKey(), "format", "4")
	if err := s.Open(t.Context()); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("of a newer format: %v", err)
	}
	rdb.Del(t.Context(), s.metaKey(), prefix+":blobs") // the data is gone
	if lost, err := s.Epoch(t.Context()); err != nil || lost == first {
		t.Errorf("epoch %q again, %v", lost, err)
	}
	many := New(rdb, Config{Prefix: redistest.Prefix(t), Partitions: 16})
	for range 2 {
		if err := many.Open(t.Context()); err != nil {
			t.Errorf("on many partitions: %v", err)
		}
	}
	old := New(rdb, Config{Prefix: many.prefix})
	if err := old.Open(t.Context()); !errors.Is(err, ErrPartitions) {
		t.Errorf("with one partition: %v", err)
	}
}
