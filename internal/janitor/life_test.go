package janitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"longshore/internal/blob"
	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/memory"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
)

// away is a blob store that may be out of reach.
type away struct {
	fileStore
	mu  sync.Mutex
	out bool
}

func (a *away) set(out bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.out = out
}

func (a *away) err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.out {
		return blob.ErrUnavailable
	}
	return nil
}

func (a *away) Open(ctx context.Context, name string) (blob.Reader, error) {
	if err := a.err(); err != nil {
		return nil, err
	}
	return a.fileStore.Open(ctx, name)
}

func (a *away) Create(ctx context.Context, name string) (blob.Writer, error) {
	if err := a.err(); err != nil {
		return nil, err
	}
	return a.fileStore.Create(ctx, name)
}

// A lifeBench is an installation, of which process makes processes.
type lifeBench struct {
	prefix string
	blobs  *away
	log    bytes.Buffer
}

func newBench(t *testing.T) *lifeBench {
	return &lifeBench{prefix: redistest.Prefix(t), blobs: &away{fileStore: fileStore{memory.New()}}}
}

// process is one that has opened the installation of a prefix.
func (b *lifeBench) process(t *testing.T, prefix string) *Janitor {
	t.Helper()
	rdb := redistest.Client(t)
	store := jobstore.New(rdb, jobstore.Config{Prefix: prefix})
	if err := store.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return New(Config{Redis: rdb, Prefix: prefix, Store: store, Blobs: b.blobs,
		Log: slog.New(slog.NewTextHandler(&b.log, nil))})
}

func vouch(t *testing.T, j *Janitor, lost bool) {
	t.Helper()
	if loss, err := j.Vouch(t.Context()); err != nil || loss.Is() != lost {
		t.Fatalf("vouch: %+v, %v, want a loss: %v", loss, err, lost)
	}
}

// kept is what the blob says.
func (b *lifeBench) kept(t *testing.T) (l jobstore.Life) {
	t.Helper()
	r, err := b.blobs.fileStore.Open(t.Context(), LifeBlob)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil || json.Unmarshal(text, &l) != nil {
		t.Fatalf("%s, %v", text, err)
	}
	return l
}

// older takes marks from Redis.
func (b *lifeBench) older(t *testing.T, field string, value any) {
	t.Helper()
	if err := redistest.Client(t).HSet(t.Context(), b.prefix+":meta", field, value).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestLifeIsKept holds what is written, and that of two processes the one that knows less never overwrites
// what is further.
func TestLifeIsKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.process(t, b.prefix), b.process(t, b.prefix)
	vouch(t, one, false)
	first := b.kept(t)
	if first.Epoch == "" || first.Mark != 0 {
		t.Fatalf("kept: %+v", first)
	}
	vouch(t, two, false)
	b.older(t, "mark", 9) // they rose
	b.older(t, "kept", 1)
	vouch(t, one, false)
	if now := b.kept(t); now.Mark != 8 || now.Epoch != first.Epoch {
		t.Errorf("a minute later: %+v", now)
	}
	if _, err := two.keep(t.Context(), first); err != nil || b.kept(t).Mark != 8 {
		t.Errorf("one who was asleep has overwritten it: %+v, %v", b.kept(t), err)
	}
}

// TestLifeIsDamaged holds that what can't be read is none, is told of, and is written anew.
func TestLifeIsDamaged(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", `{"epoch":""}`, "null", strings.Repeat("x", 1<<20)} {
		b := newBench(t)
		blobtest.Put(t, b.blobs, LifeBlob, text)
		vouch(t, b.process(t, b.prefix), false)
		if b.kept(t).Epoch == "" || !strings.Contains(b.log.String(), "written anew") {
			t.Errorf("%.10q: log %s", text, b.log.String())
		}
	}
}

// TestBlobsAway holds that nothing is compared or raised by who doesn't know what is kept, that a process
// that knows it goes on without the blobs, and that what could not be written is written later.
func TestBlobsAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.blobs.set(true)
	j := b.process(t, b.prefix)
	if _, err := j.Vouch(t.Context()); !errors.Is(err, blob.ErrUnavailable) || j.store.Known() != nil {
		t.Errorf("vouched for what it can't know: %v, %v", err, j.store.Known())
	}
	b.blobs.set(false)
	vouch(t, j, false)
	b.blobs.set(true)
	vouch(t, j, false)
	b.older(t, "mark", 9)
	b.older(t, "kept", 1)
	if _, err := j.Vouch(t.Context()); !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("kept nowhere: %v", err)
	}
	b.blobs.set(false)
	vouch(t, j, false)
	if b.kept(t).Mark != 8 {
		t.Errorf("kept: %+v", b.kept(t))
	}
	b.blobs.set(true)
	b.older(t, "epoch", "another")
	vouch(t, j, true)
}

// TestTwoInstallations holds that two that share a place by mistake don't write over each other: the second
// one has a loss, until its operator says otherwise; then the first has.
func TestTwoInstallations(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := b.process(t, b.prefix), b.process(t, redistest.Prefix(t)+"-other")
	vouch(t, one, false)
	first := b.kept(t)
	for range 3 {
		vouch(t, two, true)
		vouch(t, one, false)
	}
	if b.kept(t) != first {
		t.Errorf("kept: %+v, was %+v", b.kept(t), first)
	}
	if loss, err := two.AcceptLoss(t.Context()); err != nil || !loss.Is() {
		t.Fatal(loss, err)
	}
	if b.kept(t).Epoch == first.Epoch {
		t.Errorf("after the acceptance: %+v", b.kept(t))
	}
	vouch(t, two, false)
	b.older(t, "kept", 1)
	vouch(t, one, true)
	vouch(t, two, false)
}

// TestAcceptanceCut holds that an acceptance counts though its process died before it was kept.
func TestAcceptanceCut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	j := b.process(t, b.prefix)
	vouch(t, j, false)
	first := b.kept(t)
	b.older(t, "epoch", "another")
	vouch(t, j, true)
	if _, err := b.process(t, b.prefix).store.AcceptLoss(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.kept(t) != first {
		t.Fatal("invalid run: it was kept")
	}
	late := b.process(t, b.prefix) // knows the lost epoch only
	vouch(t, late, false)
	vouch(t, j, false)
	if b.kept(t).Epoch == first.Epoch {
		t.Errorf("kept: %+v", b.kept(t))
	}
}

// TestForgets holds that a Redis that forgets by design has no loss.
func TestForgets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	j := b.process(t, b.prefix)
	j.forgets = true
	vouch(t, j, false)
	blobtest.Missing(t, b.blobs, LifeBlob)
	b.older(t, "epoch", "another")
	vouch(t, j, false)
}
