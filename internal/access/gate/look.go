package gate

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/internal/access/store"
)

// News are what a look found, read whole before any of it counts.
type news struct {
	store.Changes
	keys    map[string]*access.Key // those that may be others now; nil = gone, or not to be read
	revoked map[string]time.Time   // all; nil = as it was

	sessions map[string]*access.Principal // those that may be others now, by id; nil = gone
}

// Look asks the store what changed, and does it.
func (g *Gate) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	at := time.Since(g.begun)
	g.mu.RLock()
	since := g.rev
	g.mu.RUnlock()
	changes, err := g.Store.Look(ctx, since)
	if err != nil {
		return err
	}
	if changes.All || len(changes.Names) > 0 {
		n, err := g.readNews(ctx, changes)
		if err != nil {
			return err
		}
		g.apply(n)
	}
	g.looked.Store(int64(at))
	if g.owed.Load() {
		g.again(ctx)
	}
	return nil
}

// readNews reads what a change is about. What was read before it is kept by nobody from here on.
func (g *Gate) readNews(ctx context.Context, changes store.Changes) (n news, err error) {
	n = news{Changes: changes}
	g.mu.Lock()
	g.turn++
	g.mu.Unlock()
	if changes.All || slices.Contains(changes.Names, "revoked") {
		if n.revoked, err = g.Store.Revoked(ctx); err != nil {
			return n, err
		}
	}
	if g.Reload != nil && (changes.All || slices.Contains(changes.Names, "signing")) {
		if err := g.Reload(ctx); err != nil {
			return n, err
		}
	}
	if n.sessions, err = g.readSessions(ctx, changes); err != nil {
		return n, err
	}
	n.keys, err = g.Store.KeysByID(ctx, g.affected(changes))
	return n, err
}

// affected are the ids of the keys that may be others now: those that the log names, be they
// known here or not, for they may have made tokens that are; of all changes those that we know.
func (g *Gate) affected(changes store.Changes) []string {
	ids := map[string]bool{}
	for _, name := range changes.Names {
		if id, ok := strings.CutPrefix(name, store.KeyName("")); ok {
			ids[id] = true
		}
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, e := range g.cached {
		if e.who.Kind == access.KindKey && changes.All {
			ids[e.who.ID] = true
		}
	}
	return slices.Collect(maps.Keys(ids))
}

// apply makes news count.
func (g *Gate) apply(n news) {
	var ended []*access.Principal
	g.mu.Lock()
	g.turn++
	g.rev = n.Rev
	now := time.Now()
	g.takeRevoked(n, now)
	if n.All {
		clear(g.unknown)
		g.owed.Store(true)
	}
	for at, name := range g.unknown {
		if slices.Contains(n.Names, name) {
			delete(g.unknown, at)
		}
	}
	for at, e := range g.cached {
		k, changed := n.keys[e.who.ID]
		if changed && e.who.Kind == access.KindKey && !g.renew(at, e, k) || !n.still(e) ||
			g.gone(e.who) != nil {
			g.drop(at, e)
			ended = append(ended, e.all()...)
		}
	}
	g.mu.Unlock()
	for _, who := range ended {
		who.End(access.ErrRevoked)
	}
}

// takeRevoked notes what counts no more. A key that is missing though no change says so was
// lost with the data of Redis, and may come back with them. The caller holds the lock.
func (g *Gate) takeRevoked(n news, now time.Time) {
	if n.revoked != nil {
		for name, until := range g.revoked { // what Redis has lost is kept, and written again
			if _, ok := n.revoked[name]; !ok && now.Before(until) {
				n.revoked[name] = until
			}
		}
		g.revoked = n.revoked
	}
	for _, name := range n.Names {
		id, isKey := strings.CutPrefix(name, store.KeyName(""))
		if isKey && n.keys[id] == nil {
			delete(g.buckets, id)
			delete(g.buckets, id+ofPages)
		}
		if isKey && n.keys[id] == nil || strings.HasPrefix(name, store.TokenName("")) {
			g.revoked[name] = now.Add(store.KeptRevoked)
		}
	}
}

// renew takes over what a key says now of a credential that it fitted. It reports whether it
// still does. A secret that became the old one has a principal with an end from now on: what it
// makes ends by then too. The caller holds the lock.
func (g *Gate) renew(at cacheKey, e *entry, k *access.Key) bool {
	if k == nil {
		return false
	}
	hash := hex.EncodeToString(at.sum[:])
	if hash != k.Hash && (hash != k.Old || k.Old == "") {
		return false
	}
	next := k.Principal(hash)
	if !next.Expires.Equal(e.ends) {
		e.before = append(e.before, e.who)
		e.who, e.ends = next, next.Expires
	}
	return true
}

// again writes what Redis has lost of what we know to be revoked, until it is there.
func (g *Gate) again(ctx context.Context) {
	there, err := g.Store.Revoked(ctx)
	if err == nil {
		lost := map[string]time.Time{}
		g.mu.RLock()
		for name, until := range g.revoked {
			if _, ok := there[name]; !ok && time.Now().Before(until) {
				lost[name] = until
			}
		}
		g.mu.RUnlock()
		err = g.Store.Again(ctx, lost)
	}
	if err != nil {
		g.Log.DebugContext(ctx, "what was revoked isn't written again yet", "error", err)
		return
	}
	g.owed.Store(false)
}
