package people

import (
	"context"
	"errors"
	"time"

	"longshore/internal/access"
	"longshore/internal/access/store"
)

// Account returns the person of a session.
func (p *People) Account(ctx context.Context, s *access.Session) (*access.User, error) {
	k, err := p.Store.User(ctx, s.User)
	if err != nil {
		return nil, err
	}
	return &k.User, nil
}

// change edits how a person logs in. All sessions end; who does it gets a new one, whose cookie
// is returned.
func (p *People) change(ctx context.Context, c Client, s *access.Session, action string,
	edit func(*access.User) error) (string, error) {
	if err := p.mayBegin(ctx, c, s.User); err != nil {
		return "", err
	}
	for range tries {
		k, err := p.Store.User(ctx, s.User)
		if err != nil {
			return "", err
		}
		if k.Disabled || k.Since != s.Since {
			return "", access.ErrRevoked
		}
		now := k.User
		if err := edit(&now); err != nil {
			return "", err
		}
		if now.Invited() {
			return "", ErrLast
		}
		now.Since++
		e, next := did(&now, c, action), newSession(&now, c, s.How)
		next.Proved, next.Created = s.Proved, time.Now().UTC().Truncate(time.Millisecond)
		change := p.Store.Begin()
		if err := change.Put(k, &now); err != nil {
			return "", err
		}
		change.EndSession(s.ID, s.User, s.Ends)
		change.Did(e)
		cookie, err := p.begin(ctx, change, next)
		if err == nil {
			p.tell(ctx, e)
			return cookie, nil
		}
		if !errors.Is(err, store.ErrChanged) {
			return "", err
		}
	}
	return "", store.ErrChanged
}

// SetPassword gives a person another password.
func (p *People) SetPassword(ctx context.Context, c Client, s *access.Session, text string) (string, error) {
	k, err := p.Store.User(ctx, s.User)
	if err != nil {
		return "", err
	}
	hash, err := p.newPassword(ctx, k, text)
	if err != nil {
		return "", err
	}
	return p.change(ctx, c, s, "users.password", func(u *access.User) error {
		u.Password = hash
		return nil
	})
}
