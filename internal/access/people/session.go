package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/alexedwards/scs/v2"

	"longshore/internal/access"
	"longshore/internal/access/store"
)

// newSessions returns the manager of sessions: it draws their ids, of which only hashes are kept,
// and bounds their lives. How long one may be idle is for Redis to know: a manager that writes
// with each request would write what a logout has just deleted.
func newSessions(s *store.Store) *scs.SessionManager {
	// scs.New would begin a store in memory that nobody ends.
	return &scs.SessionManager{Lifetime: access.SessionLife, Store: keeper{s}, Codec: codec{},
		HashTokenInStore: true}
}

// inSession is the one value of a session.
const inSession = "session"

// A codec writes a session as JSON.
type codec struct{}

func (codec) Encode(deadline time.Time, values map[string]any) ([]byte, error) {
	s, ok := values[inSession].(access.Session)
	if !ok {
		return nil, errors.New("a session without a person")
	}
	s.Ends = deadline.UTC()
	return json.Marshal(s)
}

func (codec) Decode(text []byte) (deadline time.Time, values map[string]any, err error) {
	var s access.Session
	if err := json.Unmarshal(text, &s); err != nil {
		return deadline, nil, fmt.Errorf("read a session: %w", err)
	}
	return s.Ends, map[string]any{inSession: s}, nil
}

// A keeper keeps sessions in Redis. A new one is part of a change, which the context carries:
// with what ends by it, and what it needs to be as it was.
type keeper struct{ store *store.Store }

var _ scs.CtxStore = keeper{}

type changeKey struct{}

var errNoChange = errors.New("a session begins and ends by a change")

func (k keeper) FindCtx(ctx context.Context, id string) ([]byte, bool, error) {
	text, err := k.store.SessionText(ctx, id)
	return []byte(text), text != "", err
}

func (k keeper) CommitCtx(ctx context.Context, id string, text []byte, expiry time.Time) error {
	c, ok := ctx.Value(changeKey{}).(*store.Change)
	var s access.Session
	if err := json.Unmarshal(text, &s); err != nil || !ok {
		return errors.Join(errNoChange, err)
	}
	c.AddSession(id, s.User, string(text), expiry)
	return c.Do(ctx)
}

func (keeper) DeleteCtx(context.Context, string) error { return errNoChange }

func (keeper) Find(string) ([]byte, bool, error)      { return nil, false, errNoChange }
func (keeper) Commit(string, []byte, time.Time) error { return errNoChange }
func (keeper) Delete(string) error                    { return errNoChange }

// begin does a change that begins a session too, and returns its cookie. The error may wrap
// store.ErrChanged: then nothing was done.
func (p *People) begin(ctx context.Context, c *store.Change, s access.Session) (string, error) {
	ctx, err := p.sessions.Load(context.WithValue(ctx, changeKey{}, c), "")
	if err != nil {
		return "", err
	}
	p.sessions.Put(ctx, inSession, s)
	cookie, _, err := p.sessions.Commit(ctx)
	return cookie, err
}

// newSession is one that begins now.
func newSession(u *access.User, c Client, how []string) access.Session {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return access.Session{User: u.ID, Since: u.Since, Created: now, Proved: now, How: how, Address: c.Address,
		Agent: access.Plain(c.Agent, 200)}
}

// Session returns who has a cookie.
func (p *People) Session(ctx context.Context, cookie string) (*access.Principal, error) {
	loaded, err := p.sessions.Load(ctx, cookie)
	if err != nil {
		return nil, err
	}
	s, ok := p.sessions.Get(loaded, inSession).(access.Session)
	if !ok {
		return nil, access.ErrUnknown
	}
	s.ID = short(cookie) // as the manager hashes it
	return p.principal(ctx, s)
}

// Again returns who has sessions that were read before; such as have ended are left out.
func (p *People) Again(ctx context.Context, ids []string) (map[string]*access.Principal, error) {
	sessions, users, err := p.Store.SessionsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	all, now := map[string]*access.Principal{}, time.Now()
	for id, s := range sessions {
		if who, err := users[s.User].Principal(s, now); err == nil {
			all[id] = who
		}
	}
	return all, nil
}

func (p *People) read(ctx context.Context, id string) (s access.Session, err error) {
	text, err := p.Store.SessionText(ctx, id)
	if err != nil {
		return s, err
	}
	if text == "" {
		return s, access.ErrUnknown
	}
	err = json.Unmarshal([]byte(text), &s)
	s.ID = id
	return s, err
}

func (p *People) principal(ctx context.Context, s access.Session) (*access.Principal, error) {
	k, err := p.Store.User(ctx, s.User)
	if errors.Is(err, store.ErrNoUser) {
		return nil, access.ErrRevoked
	}
	if err != nil {
		return nil, err
	}
	return k.Principal(&s, time.Now())
}

// Sessions are those of a person that count, the newest first.
func (p *People) Sessions(ctx context.Context, u *access.User) ([]access.Session, error) {
	texts, err := p.Store.SessionTexts(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	var all []access.Session
	for id, text := range texts {
		var s access.Session
		if json.Unmarshal([]byte(text), &s) == nil && s.Since == u.Since {
			s.ID = id
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b access.Session) int { return b.Created.Compare(a.Created) })
	return all, nil
}

// Logout ends a session of a person, this one or another. That it is over already is no error.
func (p *People) Logout(ctx context.Context, c Client, who *access.Session, id string) error {
	s, err := p.read(ctx, id)
	if errors.Is(err, access.ErrUnknown) || err == nil && s.User != who.User {
		return nil
	}
	if err != nil {
		return err
	}
	k, err := p.Store.User(ctx, s.User)
	if err != nil {
		return err
	}
	e := did(&k.User, c, "logout")
	e.Target = store.SessionName(id)
	change := p.Store.Begin()
	change.EndSession(id, s.User, s.Ends)
	change.Did(e)
	if err := change.Do(ctx); err != nil {
		return err
	}
	p.tell(ctx, e)
	return nil
}
