package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"longshore/internal/access"
)

// LinkLife is how long a link to set a login is good.
const LinkLife = time.Hour

// drawSecret returns 256 random bits as a text for addresses and cookies.
func drawSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// AddUser makes a person known, and returns with it the secret of a link by which the person
// sets a login. The error may be an *access.InvalidError, ErrTaken, ErrFull or wrap access.ErrBeyond.
func (s *Store) AddUser(ctx context.Context, by Actor, u access.User) (access.User, string, error) {
	email := access.FoldEmail(u.Email)
	switch {
	case email == "":
		return u, "", &access.InvalidError{Pointer: "/email", Detail: "expected an e-mail address"}
	case !access.ValidRole(u.Role):
		return u, "", &access.InvalidError{Pointer: "/role", Detail: "expected viewer, operator or admin"}
	case u.Tenant != access.Installation && !access.ValidTenant(u.Tenant):
		return u, "", &access.InvalidError{Pointer: "/tenant", Detail: "expected a tenant's name, or *"}
	}
	if err := within(by, &u); err != nil {
		return u, "", err
	}
	u = access.User{ID: access.DrawID(), Email: email, Tenant: u.Tenant, Role: u.Role,
		Created: time.Now().UTC().Truncate(time.Millisecond), By: by.Who.ID, Handle: drawSecret()}
	if _, err := s.UserByEmail(ctx, email); !errors.Is(err, ErrNoUser) {
		if err == nil {
			err = ErrTaken
		}
		return u, "", err
	}
	link, did := drawSecret(), by.did("users.add", UserName(u.ID))
	c := s.Begin()
	if err := c.Put(nil, &u); err != nil {
		return u, "", err
	}
	c.OpenLink(link, &u, LinkLife)
	c.Did(did)
	if err := c.Do(ctx); err != nil {
		if errors.Is(err, ErrChanged) { // another one was quicker, or there are too many
			err = ErrTaken
		}
		return u, "", err
	}
	by.tell(ctx, did)
	return u, link, nil
}

// within refuses what is more than who asks has.
func within(by Actor, u *access.User) error {
	switch {
	case by.Who.Tenant != access.Installation && by.Who.Tenant != u.Tenant:
		return fmt.Errorf("%w: its tenant", access.ErrBeyond)
	case u.Role.Scopes()&^by.Who.Scopes.Full() != 0:
		return fmt.Errorf("%w: %s", access.ErrBeyond, u.Role.Scopes()&^by.Who.Scopes.Full())
	}
	return nil
}

// Find reads the user whom an id or an e-mail address names, of the actor's tenant.
func (s *Store) Find(ctx context.Context, by Actor, name string) (*Kept, error) {
	k, err := s.User(ctx, name)
	if errors.Is(err, ErrNoUser) {
		if k, err = s.UserByEmail(ctx, access.FoldEmail(name)); err != nil {
			return nil, err
		}
	}
	if err == nil && by.Who.Tenant != access.Installation && by.Who.Tenant != k.Tenant {
		return nil, ErrNoUser
	}
	return k, err
}

// EditUser changes a user by edit, and does with a change what more is to be done; more may be nil.
func (s *Store) EditUser(ctx context.Context, by Actor, action, name string, edit func(*access.User) error,
	more func(c *Change, now *access.User)) (access.User, error) {
	for range tries {
		was, err := s.Find(ctx, by, name)
		if err != nil {
			return access.User{}, err
		}
		if err := within(by, &was.User); err != nil {
			return was.User, err
		}
		now := was.User
		if err := edit(&now); err != nil {
			return now, err
		}
		if err := within(by, &now); err != nil {
			return now, err
		}
		c, did := s.Begin(), by.did(action, UserName(now.ID))
		if err := c.Put(was, &now); err != nil {
			return now, err
		}
		if more != nil {
			more(c, &now)
		}
		c.Did(did)
		if err = c.Do(ctx); err == nil {
			by.tell(ctx, did)
			return now, nil
		}
		if !errors.Is(err, ErrChanged) {
			return now, err
		}
	}
	return access.User{}, errChanged
}

// NewLink returns the secret of another link for a user; with reset all ways to log in, and all
// sessions, end.
func (s *Store) NewLink(ctx context.Context, by Actor, name string, reset bool) (access.User, string, error) {
	link, action := drawSecret(), "users.link"
	if reset {
		action = "users.reset"
	}
	u, err := s.EditUser(ctx, by, action, name, func(u *access.User) error {
		if reset {
			u.Password, u.TOTP, u.Recovery, u.Passkeys, u.Identities = "", "", nil, nil, nil
		} else if !u.Invited() {
			return &access.InvalidError{
				Detail: "the user can log in: users reset makes a new link, and ends " +
					"the password, codes and passkeys that there are"}
		}
		u.Since++ // the links before end
		return nil
	}, func(c *Change, u *access.User) { c.OpenLink(link, u, LinkLife) })
	return u, link, err
}

// SetRole gives a user another role.
func (s *Store) SetRole(ctx context.Context, by Actor, name string, role access.Role) (access.User, error) {
	if !access.ValidRole(role) {
		return access.User{}, &access.InvalidError{Pointer: "/role",
			Detail: "expected viewer, operator or admin"}
	}
	return s.EditUser(ctx, by, "users.role", name, func(u *access.User) error {
		if u.Role.Scopes()&^role.Scopes() != 0 {
			u.Since++ // tokens that were made with more end, and the sessions
		}
		u.Role = role
		return nil
	}, nil)
}

// Disable ends a user's sessions, and what pages' tokens the user made, and lets nobody log in as
// the user; with false the user may again.
func (s *Store) Disable(ctx context.Context, by Actor, name string, disabled bool) (access.User, error) {
	action := "users.enable"
	if disabled {
		action = "users.disable"
	}
	return s.EditUser(ctx, by, action, name, func(u *access.User) error {
		if u.ID == by.Who.ID && disabled {
			return &access.InvalidError{Detail: "nobody disables himself"}
		}
		if u.Disabled = disabled; disabled {
			u.Since++
		}
		return nil
	}, nil)
}

// RemoveUser forgets a user.
func (s *Store) RemoveUser(ctx context.Context, by Actor, name string) error {
	for range tries {
		was, err := s.Find(ctx, by, name)
		if err != nil {
			return err
		}
		if err := within(by, &was.User); err != nil {
			return err
		}
		if was.ID == by.Who.ID {
			return &access.InvalidError{Detail: "nobody removes himself"}
		}
		c, did := s.Begin(), by.did("users.remove", UserName(was.ID))
		if err := c.Put(was, nil); err != nil {
			return err
		}
		c.forget(UserName(was.ID))
		c.Did(did)
		if err = c.Do(ctx); err == nil {
			by.tell(ctx, did)
			return nil
		}
		if !errors.Is(err, ErrChanged) {
			return err
		}
	}
	return errChanged
}
