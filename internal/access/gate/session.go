package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"longshore/internal/access"
	"longshore/internal/access/store"
)

// Sessions know people's sessions. people.People implements it; the errors are those of package
// access.
type Sessions interface {
	// Session returns who has a cookie.
	Session(ctx context.Context, cookie string) (*access.Principal, error)
	// Again returns who has sessions that were read before, with few calls however many they are;
	// such as have ended are left out.
	Again(ctx context.Context, ids []string) (map[string]*access.Principal, error)
}

// maxCookie is longer than any that we give.
const maxCookie = 128

// Session returns whose session a cookie names. The errors are those of package access;
// ErrUnread says that it can't be told now.
func (g *Gate) Session(ctx context.Context, cookie string) (*access.Principal, error) {
	if g.Sessions == nil || len(cookie) > maxCookie {
		return nil, access.ErrUnknown
	}
	at := cacheKey{sum: sha256.Sum256([]byte("session " + cookie))}
	if who, err, known := g.remembered(at); known {
		return who, err
	}
	if !g.fresh() {
		return nil, access.ErrUnread
	}
	const tries = 3
	for range tries {
		g.mu.RLock()
		turn := g.turn
		g.mu.RUnlock()
		bounded, cancel := context.WithTimeout(ctx, readTimeout)
		who, err := g.Sessions.Session(bounded, cookie)
		cancel()
		if errors.Is(err, access.ErrUnknown) || errors.Is(err, access.ErrRevoked) ||
			errors.Is(err, access.ErrExpired) {
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", access.ErrUnread, err)
		}
		if kept, ok := g.keep(turn, at, "", who); ok {
			if err := kept.Err(); err != nil {
				return nil, err
			}
			return kept, nil
		}
	}
	return nil, access.ErrUnread
}

// idle reports whether nobody has used a session for so long that it has ended, or may have.
func (e *entry) idle(now time.Time) bool {
	return e.who.Session != nil && now.Sub(time.UnixMilli(e.used.Load())) >= access.SessionIdle
}

// sessionsOf are the ids of the sessions that a change is about, of those that are known here.
func (g *Gate) sessionsOf(changes store.Changes) []string {
	var ids []string
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, e := range g.cached {
		if s := e.who.Session; s != nil && (changes.All ||
			slices.Contains(changes.Names, store.UserName(s.User)) ||
			slices.Contains(changes.Names, store.SessionName(s.ID))) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// readSessions reads those anew that a change is about; nil = gone.
func (g *Gate) readSessions(ctx context.Context,
	changes store.Changes) (map[string]*access.Principal, error) {
	ids := g.sessionsOf(changes)
	if len(ids) == 0 {
		return nil, nil
	}
	known, err := g.Sessions.Again(ctx, ids)
	if err != nil {
		return nil, err
	}
	all := make(map[string]*access.Principal, len(ids))
	for _, id := range ids {
		all[id] = known[id]
	}
	return all, nil
}

// still reports whether a session gives what it gave, after a change.
func (n news) still(e *entry) bool {
	s := e.who.Session
	if s == nil {
		return true
	}
	now, changed := n.sessions[s.ID]
	return !changed || now != nil && now.Scopes == e.who.Scopes && now.Tenant == e.who.Tenant &&
		now.Expires.Equal(e.who.Expires)
}

// noteSessions has sessions last that were used here since a time.
func (g *Gate) noteSessions(ctx context.Context, since time.Time) {
	used := map[string]time.Time{}
	g.mu.RLock()
	for _, e := range g.cached {
		if s := e.who.Session; s != nil && time.UnixMilli(e.used.Load()).After(since) {
			used[s.ID] = s.Ends
		}
	}
	g.mu.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := g.Store.Touch(ctx, used); err != nil {
		g.Log.DebugContext(ctx, "which sessions were used isn't noted", "error", err)
	}
}

// makers are how logs may call who made a page's token: as of its age, and as such. A token that
// names no age was made by an older version, when nothing had counted one.
func makers(name string) []string {
	id := access.MakerID(name)
	if name == id {
		name += "~0"
	}
	return []string{store.KeyName(id), store.KeyName(name), store.TokenName(id), store.UserName(id),
		store.UserName(name)}
}
