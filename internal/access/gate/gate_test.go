package gate_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/access/gate"
	"longshore/internal/access/store"
	"longshore/internal/localredis/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

var local = store.Local(nil)

// at is one installation's access data, in a Redis of its own.
type at struct {
	testing.TB
	*store.Store
	flush func()
}

func setup(t testing.TB) *at {
	server := redistest.New(t)
	rdb := redistest.ClientOf(t, server.URL())
	return &at{t, store.New(rdb, "test"), func() {
		if err := rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}}
}

// gate returns one that has looked once, and looks no more by itself.
func (a *at) gate() *gate.Gate {
	g := gate.New(gate.Config{Store: a.Store, Root: "root", Closed: true, Log: slog.New(slog.DiscardHandler)})
	a.look(g)
	return g
}

func (a *at) look(g *gate.Gate) {
	a.Helper()
	if err := g.Look(a.Context()); err != nil {
		a.Fatal(err)
	}
}

func (a *at) issue(k access.Key) (access.Key, string) {
	a.Helper()
	k.Name, k.Tenant, k.Scopes = "test", access.DefaultTenant, []string{"jobs:read"}
	k, secret, err := a.Issue(a.Context(), local, k)
	if err != nil {
		a.Fatal(err)
	}
	return k, secret
}

func (a *at) want(g *gate.Gate, credential string, want error) *access.Principal {
	a.Helper()
	who, err := g.Identify(a.Context(), credential)
	if !errors.Is(err, want) || (who == nil) != (want != nil) {
		a.Errorf("got %v, %v, want %v", who, err, want)
	}
	return who
}

// TestLostBell holds that a change counts by the next look alone, at each gate: for what was
// seen, what was refused, and what was not there.
func TestLostBell(t *testing.T) {
	t.Parallel()
	a := setup(t)
	one, other := a.gate(), a.gate()
	k, key := a.issue(access.Key{})
	before := a.want(one, key, nil)
	a.want(other, key, nil)
	ended := make(chan error, 1)
	var held access.Held
	before.Hold(&held, func(why error) { ended <- why })
	defer held.Let()
	if err := a.Remove(t.Context(), local, k.ID); err != nil {
		t.Fatal(err)
	}
	a.want(one, key, nil) // nobody has told yet
	a.look(one)
	a.want(one, key, access.ErrUnknown)
	if why := <-ended; !errors.Is(why, access.ErrRevoked) {
		t.Errorf("what waits ends by %v", why)
	}
	a.want(other, key, nil)
	a.look(other)
	a.want(other, key, access.ErrUnknown)
}

// TestRotate holds that what waits by a key goes on over a rotation, and ends with the old
// secret's time.
func TestRotate(t *testing.T) {
	t.Parallel()
	a := setup(t)
	g := a.gate()
	k, old := a.issue(access.Key{})
	who := a.want(g, old, nil)
	_, key, err := a.Rotate(t.Context(), local, k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a.look(g)
	again := a.want(g, old, nil)
	if who.Err() != nil || again.Expires.IsZero() || again.Expires.After(time.Now().Add(time.Hour)) {
		t.Errorf("what waits by the old secret: %v; who comes by it ends at %v", who.Err(), again.Expires)
	}
	if _, _, err := a.Issue(t.Context(), store.Actor{Who: again},
		access.Key{Name: "x", Tenant: access.DefaultTenant, Scopes: []string{"jobs:read"}}); !errors.Is(err,
		access.ErrBeyond) {
		t.Errorf("the old secret makes a key without an end: %v", err)
	}
	var held access.Held
	who.Hold(&held, func(error) {})
	defer held.Let()
	a.want(g, key, nil)
	if _, _, err := a.Rotate(t.Context(), local, k.ID, 0); err != nil {
		t.Fatal(err)
	}
	a.look(g)
	a.want(g, old, access.ErrUnknown)
	a.want(g, key, access.ErrUnknown)
	if !errors.Is(who.Err(), access.ErrRevoked) {
		t.Errorf("who had the first secret: %v", who.Err())
	}
}

// TestFlush empties Redis: keys are gone, what was revoked stays so and is written again,
// and nothing opens.
func TestFlush(t *testing.T) {
	t.Parallel()
	a := setup(t)
	one, other := a.gate(), a.gate()
	_, key := a.issue(access.Key{})
	a.want(one, key, nil)
	if err := a.RevokeToken(t.Context(), local, "token-of-a-page"); err != nil {
		t.Fatal(err)
	}
	a.look(one)
	a.look(other)
	a.flush()
	_, later := a.issue(access.Key{}) // so that there is a revision again, and a smaller one
	a.look(one)
	a.want(one, key, access.ErrUnknown)
	a.want(one, later, nil)
	a.want(one, "root", nil)
	a.want(one, "", access.ErrUnknown)
	revoked, err := a.Revoked(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := revoked[store.TokenName("token-of-a-page")]; !ok {
		t.Errorf("the revocation is lost: %v", revoked)
	}
}

// TestUnread holds that nobody but root is let in, and nobody told that he is nobody, while
// what was revoked can't be read.
func TestUnread(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	s := store.New(redistest.ClientOf(t, server.URL()), "test")
	g := gate.New(gate.Config{Store: s, Root: "root", Closed: true, Log: slog.New(slog.DiscardHandler)})
	a := &at{t, s, nil}
	_, key := a.issue(access.Key{})
	a.want(g, key, access.ErrUnread) // it has not looked yet
	a.look(g)
	who := a.want(g, key, nil)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = g.Run(ctx)
	}()
	defer func() {
		stop()
		<-ended
	}()
	deadline := time.After(90 * time.Second)
	for tick := time.Tick(50 * time.Millisecond); ; {
		_, err := g.Identify(t.Context(), key)
		if errors.Is(err, access.ErrUnread) {
			break
		}
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("still %v", err)
		}
	}
	a.want(g, "root", nil)
	a.want(g, access.DrawKey("0123456789AB"), access.ErrUnread)
	if who.Err() != nil {
		t.Error("what waits has ended")
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for tick := time.Tick(50 * time.Millisecond); ; <-tick {
		if _, err := g.Identify(t.Context(), key); !errors.Is(err, access.ErrUnread) {
			break // Redis kept it, or not
		}
		if t.Context().Err() != nil {
			t.Fatal("it never reads again")
		}
	}
}

// TestExpiry ends what waits by a key that expires.
func TestExpiry(t *testing.T) {
	t.Parallel()
	a := setup(t)
	g := a.gate()
	_, key := a.issue(access.Key{Expires: time.Now().Add(1500 * time.Millisecond)})
	who := a.want(g, key, nil)
	ended := make(chan error, 1)
	var held access.Held
	who.Hold(&held, func(why error) { ended <- why })
	defer held.Let()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Run(ctx)
	}()
	if why := <-ended; !errors.Is(why, access.ErrExpired) {
		t.Errorf("ended by %v", why)
	}
	a.want(g, key, access.ErrExpired)
	stop()
	<-done
	if keys, err := a.Keys(t.Context()); err != nil || len(keys) != 1 || keys[0].Used.IsZero() {
		t.Errorf("when it was used last isn't noted: %+v, %v", keys, err)
	}
}

// TestRateIsShared takes a key's rate by two gates at once, and no more than it.
func TestRateIsShared(t *testing.T) {
	t.Parallel()
	a := setup(t)
	_, key := a.issue(access.Key{Rate: access.Rate{N: 50, Per: time.Hour, Burst: 50}})
	passed := make(chan int)
	for range 2 {
		g := a.gate()
		who := a.want(g, key, nil)
		go func() {
			n := 0
			for range 100 {
				if g.Spend(context.Background(), who).Wait == 0 {
					n++
				}
			}
			passed <- n
		}()
	}
	if n := <-passed + <-passed; n != 50 {
		t.Errorf("%d passed, want 50", n)
	}
}

// BenchmarkSeen is a check of a key that was seen before, BenchmarkFirst of one that wasn't.
func BenchmarkSeen(b *testing.B) {
	a := setup(b)
	g := a.gate()
	_, key := a.issue(access.Key{})
	for b.Loop() {
		g.Identify(b.Context(), key)
	}
}

func BenchmarkFirst(b *testing.B) {
	a := setup(b)
	var keys []string
	for range 500 {
		_, key := a.issue(access.Key{})
		keys = append(keys, key)
	}
	g, i := a.gate(), 0
	for b.Loop() {
		if i == len(keys) {
			g, i = a.gate(), 0
		}
		g.Identify(b.Context(), keys[i])
		i++
	}
}

// pages is a verifier of one page's token, made by a key.
type pages struct {
	maker string
	ends  time.Time
}

func (p pages) Verify(_ context.Context, text string, late time.Duration) (*access.Principal, error) {
	if text != pageToken {
		return nil, access.ErrUnknown
	}
	if !time.Now().Before(p.ends.Add(late)) {
		return nil, access.ErrExpired
	}
	return &access.Principal{Kind: access.KindToken, ID: p.maker + ".x", Expires: p.ends,
		Grant: &access.Grant{Maker: p.maker}}, nil
}

var pageToken = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImxzLXgifQ.e30.x"

// TestMakerUnknownHere deletes a key at a web that never saw it: what it made ends there too.
func TestMakerUnknownHere(t *testing.T) {
	t.Parallel()
	a := setup(t)
	k, _ := a.issue(access.Key{})
	g := gate.New(gate.Config{Store: a.Store, Closed: true, Verifier: pages{k.ID, time.Now().Add(time.Hour)},
		Log: slog.New(slog.DiscardHandler)})
	a.look(g)
	who := a.want(g, pageToken, nil)
	if err := a.Remove(t.Context(), local, k.ID); err != nil {
		t.Fatal(err)
	}
	a.look(g)
	a.want(g, pageToken, access.ErrRevoked)
	if !errors.Is(who.Err(), access.ErrRevoked) {
		t.Errorf("what waits by it: %v", who.Err())
	}
}

// TestLateIsApart holds that an upload that goes on by an expired token opens nothing else to it,
// however the token is written.
func TestLateIsApart(t *testing.T) {
	t.Parallel()
	a := setup(t)
	g := gate.New(gate.Config{Store: a.Store, Closed: true,
		Verifier: pages{"root", time.Now().Add(-time.Minute)}, Log: slog.New(slog.DiscardHandler)})
	a.look(g)
	if _, err := g.Late(t.Context(), pageToken, time.Hour); err != nil {
		t.Fatal(err)
	}
	a.want(g, pageToken, access.ErrExpired)
	for _, text := range []string{"late " + pageToken, pageToken + "\n", "\x00" + pageToken} {
		a.want(g, text, access.ErrUnknown)
	}
	if _, err := g.Late(t.Context(), access.DrawKey("0123456789AB"), time.Hour); !errors.Is(err,
		access.ErrUnknown) {
		t.Errorf("a key: %v", err)
	}
}

// TestRestored empties Redis and puts a key back, as an old primary does that comes back: it is
// good again. One that was deleted is not.
func TestRestored(t *testing.T) {
	t.Parallel()
	a := setup(t)
	g := a.gate()
	k, key := a.issue(access.Key{})
	gone, goneKey := a.issue(access.Key{})
	a.want(g, key, nil)
	a.want(g, goneKey, nil)
	if err := a.Remove(t.Context(), local, gone.ID); err != nil {
		t.Fatal(err)
	}
	a.look(g)
	a.flush()
	a.look(g)
	a.want(g, key, access.ErrUnknown)
	for _, k := range []access.Key{k, gone} {
		if err := a.CreateKey(t.Context(), k, access.Entry{}); err != nil {
			t.Fatal(err)
		}
	}
	a.look(g)
	a.want(g, key, nil)
	a.want(g, goneKey, access.ErrRevoked)
}

// TestRevocationsAreBounded holds that one key can't fill what all revoke, nor the audit log by
// saying the same again, and that a key's deletion takes the keys that it made.
func TestRevocationsAreBounded(t *testing.T) {
	t.Parallel()
	a := setup(t)
	maker, _ := a.issue(access.Key{})
	made, _, err := a.Issue(t.Context(), store.Actor{Who: maker.Principal(maker.Hash)},
		access.Key{Name: "x", Tenant: "default", Scopes: []string{"jobs:read"}})
	if err != nil {
		t.Fatal(err)
	}
	by := store.Actor{Who: maker.Principal(maker.Hash)}
	for range 5 {
		if err := a.RevokeToken(t.Context(), by, maker.ID+".same"); err != nil {
			t.Fatal(err)
		}
	}
	if log, err := a.Audit(t.Context(), false, access.Installation, "", 100); err != nil || len(log) != 3 {
		t.Errorf("%d entries, %v, want 3", len(log), err)
	}
	full := 0
	for full = range 1100 {
		if err = a.RevokeToken(t.Context(), by, maker.ID+"."+access.DrawID()); err != nil {
			break
		}
	}
	if !errors.Is(err, store.ErrFull) || full != 999 {
		t.Errorf("%d more, %v", full, err)
	}
	if err := a.RevokeToken(t.Context(), local, "root.x"); err != nil {
		t.Errorf("another's: %v", err)
	}
	if err := a.Remove(t.Context(), local, maker.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Key(t.Context(), made.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what the key made is there: %v", err)
	}
}
