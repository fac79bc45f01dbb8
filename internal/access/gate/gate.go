// Package gate judges credentials: it says who calls. A credential that was seen before
// costs a look into a map; the store is asked each two seconds whether anything changed,
// and what counts no more ends at once, with the requests that wait by it.
package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/loop"
)

// Bounds, in time and in number.
const (
	lookEvery   = 2 * time.Second
	lookTimeout = 2 * time.Second
	staleAfter  = 5 * time.Second // without a look nobody knows what was revoked
	readTimeout = 2 * time.Second // of one key
	usedEvery   = time.Minute

	maxCached  = 20_000
	maxBytes   = 32 << 20 // of the tokens in all, as they are sent: what they say is as long
	maxUnknown = 5_000
)

// A Verifier reads credentials that are signed. Its errors are those of package access,
// ErrUnread where the keys that it needs can't be had for the moment.
type Verifier interface {
	// Verify returns whom the credential names. late lets one pass that has expired, this
	// long ago at most.
	Verify(ctx context.Context, credential string, late time.Duration) (*access.Principal, error)
}

// Config of a Gate.
type Config struct {
	Store    *store.Store
	Root     string // the installation's token; "" = there is none
	Closed   bool   // without a credential nobody comes in
	Verifier Verifier
	Sessions Sessions // nil = nobody logs in
	// Reload is called when the keys that sign may be others; nil = nobody cares.
	Reload func(context.Context) error
	Log    *slog.Logger
}

// A Gate judges credentials while Run runs.
type Gate struct {
	Config
	root   access.Token
	wake   chan struct{}
	looked atomic.Int64 // when the store was read last, in ns of the process; 0 = never
	begun  time.Time
	owed   atomic.Bool // what is revoked may be missing in Redis

	mu      sync.RWMutex
	rev     store.Rev
	turn    uint64 // counts changes: what was read before one is not kept after it
	cached  map[cacheKey]*entry
	bytes   int            // of the credentials in cached
	unknown map[sum]string // what isn't there, and how the log would call it
	revoked map[string]time.Time
	buckets map[string]*bucket
	left    map[string]time.Time // when keys were used whose entries are gone

	refusals refusals
}

type sum = [sha256.Size]byte

// A cacheKey is a credential as it was judged: late ones are good for less.
type cacheKey struct {
	sum
	late bool
}

// An entry is a credential that was good when it was seen first.
type entry struct {
	who    *access.Principal
	before []*access.Principal // whom it stood for before its key was changed; some may be held
	ends   time.Time           // zero = never
	used   atomic.Int64
	size   int // of the credential
}

// all are those that the entry stands for, or stood.
func (e *entry) all() []*access.Principal { return append(e.before, e.who) }

// holds reports whether some request lasts by it.
func (e *entry) holds() bool { return slices.ContainsFunc(e.all(), (*access.Principal).Holds) }

// New returns a gate.
func New(c Config) *Gate {
	return &Gate{Config: c, root: access.NewToken(c.Root), wake: make(chan struct{}, 1), begun: time.Now(),
		cached: map[cacheKey]*entry{}, unknown: map[sum]string{}, revoked: map[string]time.Time{},
		buckets: map[string]*bucket{}, left: map[string]time.Time{}}
}

// Open reports whether who sends no credential is let in.
func (g *Gate) Open() bool { return !g.Closed }

// Identify returns who sends a credential. The errors are those of package access;
// ErrUnread says that it can't be told now.
func (g *Gate) Identify(ctx context.Context, credential string) (*access.Principal, error) {
	if g.root.Is(credential) {
		return access.Root, nil
	}
	at := sha256.Sum256([]byte(credential))
	if who, err, known := g.remembered(cacheKey{sum: at}); known {
		return who, err
	}
	if _, ok := access.ParseKey(credential); !ok && !g.signed(credential) {
		(*access.Key)(nil).Fits(credential, time.Now()) // as long as for a key that there is
		return nil, access.ErrUnknown
	}
	if !g.fresh() {
		return nil, access.ErrUnread
	}
	const tries = 3
	for range tries {
		turn, who, err := g.read(ctx, credential)
		if errors.Is(err, access.ErrUnread) || err != nil && !errors.Is(err, access.ErrUnknown) {
			return nil, err
		}
		if kept, ok := g.keep(turn, cacheKey{sum: at}, credential, who); ok {
			if err == nil {
				err = kept.Err()
			}
			if err != nil {
				return nil, err
			}
			return kept, nil
		}
	}
	return nil, access.ErrUnread // changes come faster than we read
}

// signed reports whether a text may be a token, by its form alone.
func (g *Gate) signed(text string) bool {
	odd := func(r rune) bool { return r < '!' || r > '~' }
	return g.Verifier != nil && !access.LooksLikeKey(text) && strings.Count(text, ".") == 2 &&
		!strings.ContainsFunc(text, odd)
}

// Late is Identify for what may go on for a while after its credential's end.
func (g *Gate) Late(ctx context.Context, credential string, late time.Duration) (*access.Principal, error) {
	who, err := g.Identify(ctx, credential)
	if !errors.Is(err, access.ErrExpired) || g.Verifier == nil || !access.LooksLikeToken(credential) {
		return who, err
	}
	g.mu.RLock()
	turn := g.turn
	g.mu.RUnlock()
	if who, err = g.Verifier.Verify(ctx, credential, late); err != nil {
		return nil, err
	}
	if !g.fresh() {
		return nil, access.ErrUnread
	}
	who.Expires = who.Expires.Add(late)
	kept, ok := g.keep(turn, cacheKey{sha256.Sum256([]byte(credential)), true}, credential, who)
	if !ok {
		return nil, access.ErrUnread
	}
	if err := kept.Err(); err != nil {
		return nil, err
	}
	return kept, nil
}

// remembered answers from memory.
func (g *Gate) remembered(at cacheKey) (who *access.Principal, err error, known bool) {
	g.mu.RLock()
	e := g.cached[at]
	_, unknown := g.unknown[at.sum]
	g.mu.RUnlock()
	switch {
	case e == nil && !unknown:
		return nil, nil, false
	case !g.fresh():
		return nil, access.ErrUnread, true
	case e == nil:
		return nil, access.ErrUnknown, true
	}
	if err := e.who.Err(); err != nil {
		return nil, err, true
	}
	now := time.Now()
	if !e.ends.IsZero() && !now.Before(e.ends) {
		return nil, access.ErrExpired, true
	}
	if e.idle(now) { // another web may have seen more of it
		return nil, nil, false
	}
	e.used.Store(now.UnixMilli())
	return e.who, nil, true
}

// fresh reports whether the store was read lately.
func (g *Gate) fresh() bool {
	at := g.looked.Load()
	return at != 0 && time.Since(g.begun)-time.Duration(at) < staleAfter
}

// read judges a credential that wasn't seen before.
func (g *Gate) read(ctx context.Context, credential string) (turn uint64, who *access.Principal, err error) {
	g.mu.RLock()
	turn = g.turn
	g.mu.RUnlock()
	id, isKey := access.ParseKey(credential)
	if !isKey {
		if who, err = g.Verifier.Verify(ctx, credential, 0); err != nil {
			return turn, nil, err
		}
		return turn, who, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	k, err := g.Store.Key(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return turn, nil, fmt.Errorf("%w: %w", access.ErrUnread, err)
	}
	now := time.Now()
	if !k.Fits(credential, now) {
		return turn, nil, access.ErrUnknown
	}
	who = k.Principal(access.Hash(credential))
	if !who.Expires.IsZero() && !now.Before(who.Expires) {
		return turn, nil, access.ErrExpired
	}
	return turn, who, nil
}

// keep remembers what was read, nil being that there is no such credential, unless
// something changed meanwhile.
func (g *Gate) keep(turn uint64, at cacheKey, credential string,
	who *access.Principal) (kept *access.Principal, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.turn != turn {
		return nil, false
	}
	if who == nil {
		if len(g.unknown) >= maxUnknown {
			clear(g.unknown)
		}
		if id, ok := access.ParseKey(credential); ok { // nothing else costs a call
			g.unknown[at.sum] = store.KeyName(id)
		}
		return nil, true
	}
	if other := g.cached[at]; other != nil && !other.idle(time.Now()) { // two came at once
		return other.who, true
	}
	if err := g.gone(who); err != nil {
		who.End(err)
	}
	for len(g.cached) >= maxCached || len(g.cached) > 0 && g.bytes+len(credential) > maxBytes {
		if !g.makeRoom() {
			break // all of them are held by requests, which are bounded elsewhere
		}
	}
	e := &entry{who: who, ends: who.Expires, size: len(credential)}
	g.bytes += e.size
	e.used.Store(time.Now().UnixMilli())
	g.cached[at] = e
	return who, true
}

// gone says whether a principal was revoked, or who made it. The caller holds the lock.
func (g *Gate) gone(who *access.Principal) error {
	names := []string{nameOf(who)}
	if who.Grant != nil {
		names = append(names, makers(who.Grant.Maker)...)
	}
	for _, name := range names {
		if _, ok := g.revoked[name]; ok {
			return access.ErrRevoked
		}
	}
	return nil
}

// nameOf is how logs call a principal.
func nameOf(who *access.Principal) string {
	switch who.Kind {
	case access.KindKey:
		return store.KeyName(who.ID)
	case access.KindSession:
		return store.SessionName(who.Session.ID)
	}
	return store.TokenName(who.ID)
}

// makeRoom forgets some credentials that nothing waits by, and reports whether there were any. The
// caller holds the lock.
func (g *Gate) makeRoom() bool {
	all := maxCached / 20
	left := all
	for at, e := range g.cached {
		if left == 0 {
			break
		}
		if !e.holds() {
			g.forget(at, e)
			for _, who := range e.all() { // who has it in hand asks again
				who.End(access.ErrUnread)
			}
			left--
		}
	}
	return left < all
}

// forget drops an entry, but for when it was used. The caller holds the lock.
func (g *Gate) forget(at cacheKey, e *entry) {
	g.drop(at, e)
	if e.who.Kind == access.KindKey && len(g.left) < maxCached {
		g.left[e.who.ID] = time.UnixMilli(e.used.Load())
	}
}

func (g *Gate) drop(at cacheKey, e *entry) {
	if g.cached[at] == e {
		delete(g.cached, at)
		g.bytes -= e.size
	}
}

// Notify makes the gate look at once.
func (g *Gate) Notify() {
	select {
	case g.wake <- struct{}{}:
	default: // it will
	}
}

// Run keeps the gate up to date until ctx ends.
func (g *Gate) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { g.watch(ctx) })
	loop.Loop{Every: lookEvery, Wake: g.wake, Failed: func(err error) {
		g.Log.WarnContext(ctx,
			"access data can't be read: keys and tokens are refused with 503 in some seconds", "error", err)
	}}.Run(ctx, func(ctx context.Context) (bool, error) { return false, g.Look(ctx) })
	wg.Wait()
	return nil
}

// watch ends what has expired, and notes which keys are used.
func (g *Gate) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var since time.Time // of what is noted yet
	noted := time.Now()
	for {
		select {
		case <-ctx.Done():
			last := context.WithoutCancel(ctx)
			g.noteUsed(last, since)
			g.noteSessions(last, since)
			g.noteRefused(last)
			return
		case <-tick.C:
		}
		now := time.Now()
		g.expire(now)
		if now.Sub(noted) >= usedEvery {
			g.noteUsed(ctx, since)
			g.noteSessions(ctx, since)
			g.noteRefused(ctx)
			noted, since = now, now
		}
	}
}

func (g *Gate) expire(now time.Time) {
	var over []*access.Principal
	g.mu.Lock()
	for at, e := range g.cached {
		if e.idle(now) {
			over = append(over, e.all()...)
			g.forget(at, e)
			continue
		}
		if e.ends.IsZero() || now.Before(e.ends) {
			continue
		}
		if e.who.Err() == nil {
			over = append(over, e.all()...)
		} else if !e.holds() { // what goes on late may still be revoked
			g.forget(at, e)
		}
	}
	g.mu.Unlock()
	for _, who := range over {
		who.End(access.ErrExpired)
	}
}

func (g *Gate) noteUsed(ctx context.Context, since time.Time) {
	g.mu.Lock()
	used := g.left
	g.left = map[string]time.Time{}
	for _, e := range g.cached {
		at := time.UnixMilli(e.used.Load())
		if e.who.Kind == access.KindKey && at.After(since) && at.After(used[e.who.ID]) {
			used[e.who.ID] = at
		}
	}
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := g.Store.Used(ctx, used); err != nil {
		g.Log.DebugContext(ctx, "when keys were used last isn't noted", "error", err)
	}
}
