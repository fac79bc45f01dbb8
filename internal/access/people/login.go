package people

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"longshore/internal/access"
	"longshore/internal/access/password"
	"longshore/internal/access/store"
)

// How long things are good.
const (
	pendingLife = 5 * time.Minute // a login that is half done
	deviceLife  = 90 * 24 * time.Hour
)

// pwd and its like are how a session tells of what proved who somebody is (RFC 8176).
const (
	howPassword = "pwd"
	howCode     = "otp"
	howRecovery = "rec"
	howPasskey  = "hwk"
	howIssuer   = "fed"
)

// A proof is what shows who somebody is.
type proof struct {
	how []string
	at  time.Time // zero = now
}

// A pending is a login that lacks a proof.
type pending struct {
	User string   `json:"user"`
	Hash string   `json:"hash"` // of the password that fitted
	How  []string `json:"how"`
	Old  string   `json:"old,omitempty"` // the session that it is to replace
}

// Login looks at an e-mail address and a password. old is the session that a new one is to
// replace, which must be the same person's; nil = none. The error may be ErrWrong, a *WaitError or
// password.ErrBusy: it is the same for users that there aren't.
func (p *People) Login(ctx context.Context, c Client, old *access.Session,
	email, text string) (Outcome, error) {
	email = access.FoldEmail(email)
	counted, err := p.count(ctx, c, email)
	if err != nil {
		return Outcome{}, err
	}
	k, err := p.Store.UserByEmail(ctx, email)
	if err != nil && !errors.Is(err, store.ErrNoUser) {
		return Outcome{}, err
	}
	hash := ""
	if k != nil && !k.Disabled && (old == nil || old.User == k.ID) {
		hash = k.Password
	}
	if len(text) > 4*password.MaxLength { // bytes; nobody's
		text = text[:4*password.MaxLength]
	}
	ok, err := p.hasher.Fits(ctx, hash, text)
	if err != nil {
		return Outcome{}, err
	}
	if !ok {
		p.refused(c, k, "login")
		return Outcome{}, ErrWrong
	}
	if err := p.good(ctx, counted); err != nil {
		return Outcome{}, err
	}
	return p.proved(ctx, c, k, old, proof{how: []string{howPassword}})
}

func (p *People) refused(c Client, k *store.Kept, action string) {
	e := access.Entry{Time: time.Now().UTC(), Actor: "unknown", Kind: access.KindSession,
		Tenant: access.Installation, Address: c.Address, Action: action}
	if k != nil {
		e.Actor, e.Tenant = k.ID, k.Tenant
	}
	p.Refused(e)
}

// proved goes on when one proof is there: a person who has an app for codes is asked for one.
func (p *People) proved(ctx context.Context, c Client, k *store.Kept, old *access.Session,
	by proof) (Outcome, error) {
	if k.TOTP == "" {
		return p.complete(ctx, c, k, old, by, nil)
	}
	half := pending{User: k.ID, Hash: k.Password, How: by.how}
	if old != nil {
		half.Old = old.ID
	}
	text, err := json.Marshal(half)
	if err != nil {
		return Outcome{}, err
	}
	name := drawSecret()
	return Outcome{Pending: name}, p.Store.Lend(ctx, "pending:"+short(name), string(text), pendingLife)
}

// complete begins the session of who has proved enough. edit is what more changes of the user.
func (p *People) complete(ctx context.Context, c Client, k *store.Kept, old *access.Session, by proof,
	edit func(*access.User) error) (Outcome, error) {
	if err := p.mayBegin(ctx, c, k.ID); err != nil {
		return Outcome{}, err
	}
	proved := k.User
	for range tries {
		now := k.User
		now.Seen = time.Now().UTC().Truncate(time.Millisecond)
		if edit != nil {
			if err := edit(&now); err != nil {
				return Outcome{}, err
			}
		}
		e := did(&now, c, "login")
		change := p.Store.Begin()
		if err := change.Put(k, &now); err != nil {
			return Outcome{}, err
		}
		if old != nil {
			change.EndSession(old.ID, old.User, old.Ends)
			e.Action = "login.again"
		}
		change.Did(e)
		session := newSession(&now, c, by.how)
		if !by.at.IsZero() && by.at.Before(session.Proved) {
			session.Proved = by.at
		}
		cookie, err := p.begin(ctx, change, session)
		if err == nil {
			p.tell(ctx, e)
			device := drawSecret()
			return Outcome{Cookie: cookie, Device: device}, p.Store.Trust(ctx, device, now.ID, deviceLife)
		}
		if !errors.Is(err, store.ErrChanged) {
			return Outcome{}, err
		}
		if k, err = p.Store.User(ctx, k.ID); err != nil {
			return Outcome{}, err
		}
		if k.Disabled || k.Since != proved.Since || k.Password != proved.Password || k.TOTP != proved.TOTP {
			return Outcome{}, ErrWrong // what was proved is so no more
		}
	}
	return Outcome{}, store.ErrChanged
}

const tries = 5

// OpenLink returns whose a link is, and leaves it as it is. The error may be ErrLink.
func (p *People) OpenLink(ctx context.Context, link string) (*access.User, error) {
	k, err := p.Store.Link(ctx, link)
	if errors.Is(err, store.ErrNoUser) || err == nil && (k.Disabled || !k.Invited()) {
		return nil, ErrLink
	}
	if err != nil {
		return nil, err
	}
	return &k.User, nil
}

// Register sets the password of who has a link, uses the link up, and logs in.
func (p *People) Register(ctx context.Context, c Client, link, text string) (Outcome, error) {
	k, err := p.Store.Link(ctx, link)
	if errors.Is(err, store.ErrNoUser) || err == nil && (k.Disabled || !k.Invited()) {
		return Outcome{}, ErrLink
	}
	if err != nil {
		return Outcome{}, err
	}
	hash, err := p.newPassword(ctx, k, text)
	if err != nil {
		return Outcome{}, err
	}
	now := k.User
	now.Password, now.Seen = hash, time.Now().UTC().Truncate(time.Millisecond)
	now.Since++
	e := did(&now, c, "users.register")
	change := p.Store.Begin()
	change.UseLink(link, k)
	if err := change.Put(k, &now); err != nil {
		return Outcome{}, err
	}
	change.Did(e)
	cookie, err := p.begin(ctx, change, newSession(&now, c, []string{howPassword}))
	if errors.Is(err, store.ErrChanged) {
		return Outcome{}, ErrLink
	}
	if err != nil {
		return Outcome{}, err
	}
	p.tell(ctx, e)
	device := drawSecret()
	return Outcome{Cookie: cookie, Device: device}, p.Store.Trust(ctx, device, now.ID, deviceLife)
}

// newPassword hashes a new password, or says what is wrong with it by a *BadPasswordError.
func (p *People) newPassword(ctx context.Context, k *store.Kept, text string) (string, error) {
	if detail := password.Check(text, k.Email); detail != "" {
		return "", &BadPasswordError{detail}
	}
	return p.hasher.Hash(ctx, text)
}
