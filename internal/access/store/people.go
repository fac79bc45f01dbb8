package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
)

// nilReply is what go-redis returns where there is nothing.
const nilReply = redis.Nil

const maxUsers = 10_000

// UserName is how logs and the audit call a user, SessionName a session.
func UserName(id string) string { return "user:" + id }

// SessionName is UserName for a session.
func SessionName(id string) string { return "session:" + id }

// identity is the field of who a user is to another issuer.
func identity(i access.Identity) string { return i.Issuer + " " + i.Subject }

// ErrNoUser says that there is no such user, or none any more.
var ErrNoUser = errors.New("no such user")

// ErrTaken says that an e-mail address, a passkey or an identity is another user's.
var ErrTaken = errors.New("another user has it")

// A Kept is a user as Redis has it.
type Kept struct {
	access.User
	text string
}

// User reads a user. The error may be ErrNoUser.
func (s *Store) User(ctx context.Context, id string) (*Kept, error) {
	if !access.ValidID(id) {
		return nil, ErrNoUser
	}
	text, err := s.rdb.Get(ctx, s.at("user:"+id)).Result()
	if isNil(err) {
		return nil, ErrNoUser
	}
	if err != nil {
		return nil, fmt.Errorf("read user %s: %w", id, err)
	}
	k := &Kept{text: text}
	if err := json.Unmarshal([]byte(text), &k.User); err != nil {
		return nil, fmt.Errorf("read user %s: %w", id, err)
	}
	return k, nil
}

// by reads the user that an index names.
func (s *Store) by(ctx context.Context, index, field string) (*Kept, error) {
	id, err := s.rdb.HGet(ctx, s.at(index), field).Result()
	if isNil(err) {
		return nil, ErrNoUser
	}
	if err != nil {
		return nil, fmt.Errorf("look for a user: %w", err)
	}
	return s.User(ctx, id)
}

// UserByEmail reads the user of an address, written as access.FoldEmail does.
func (s *Store) UserByEmail(ctx context.Context, email string) (*Kept, error) {
	return s.by(ctx, "emails", email)
}

// UserByPasskey reads the user of a credential's id.
func (s *Store) UserByPasskey(ctx context.Context, id string) (*Kept, error) {
	return s.by(ctx, "passkeys", id)
}

// UserByIdentity reads the user whom another issuer knows.
func (s *Store) UserByIdentity(ctx context.Context, i access.Identity) (*Kept, error) {
	return s.by(ctx, "identities", identity(i))
}

// Users reads all users, the oldest first.
func (s *Store) Users(ctx context.Context) ([]access.User, error) {
	ids, err := s.rdb.SMembers(ctx, s.at("users")).Result()
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	var users []access.User
	if err := readMany(ctx, s, "user:", ids, func(_ string, u *access.User) {
		if u != nil {
			users = append(users, *u)
		}
	}); err != nil {
		return nil, err
	}
	slices.SortFunc(users, func(a, b access.User) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return users, nil
}

// Put has a change put a user in the place of what was read, nil being none on either side. What
// belongs to one user only is checked to be no other's.
func (c *Change) Put(was *Kept, now *access.User) error {
	old := &Kept{}
	if was != nil {
		old = was
	}
	id, text := old.ID, ""
	if now != nil {
		id = now.ID
		b, err := json.Marshal(now)
		if err != nil {
			return err
		}
		text = string(b)
	}
	c.step("is", "user:"+id, old.text)
	if now == nil {
		now = &access.User{}
		c.step("del", "user:"+id)
		c.step("srem", "users", id)
		c.step("del", "sessions:"+id)
	} else {
		c.step("fewer", "users", maxUsers+1)
		c.step("set", "user:"+id, text)
		c.step("sadd", "users", id)
	}
	c.index("emails", id, emails(&old.User), emails(now))
	c.index("passkeys", id, passkeys(&old.User), passkeys(now))
	c.index("identities", id, identities(&old.User), identities(now))
	c.Tell(UserName(id))
	if was != nil && old.Since != now.Since {
		c.forget(UserName(id + "~" + strconv.Itoa(old.Since)))
	}
	return nil
}

// forget has what somebody made count no more: the names are those of makers.
func (c *Change) forget(names ...string) {
	until := time.Now().Add(KeptRevoked).UnixMilli()
	for _, name := range names {
		c.step("zadd", "revoked", until, name)
	}
	c.Tell("revoked")
}

func emails(u *access.User) []string {
	if u.Email == "" {
		return nil
	}
	return []string{u.Email}
}

func passkeys(u *access.User) (ids []string) {
	for _, p := range u.Passkeys {
		ids = append(ids, p.ID)
	}
	return ids
}

func identities(u *access.User) (all []string) {
	for _, i := range u.Identities {
		all = append(all, identity(i))
	}
	return all
}

// index keeps one of the indexes by which users are found.
func (c *Change) index(name, id string, was, now []string) {
	for _, field := range now {
		if !slices.Contains(was, field) {
			c.step("field", name, field, "")
			c.step("hset", name, field, id)
		}
	}
	for _, field := range was {
		if !slices.Contains(now, field) {
			c.step("hdel", name, field)
		}
	}
}

// Same checks that a user is still as it was read.
func (c *Change) Same(was *Kept) { c.step("is", "user:"+was.ID, was.text) }

// UseLink ends a link that was open, for one user.
func (c *Change) UseLink(link string, k *Kept) {
	c.step("is", "link:"+access.Hash(link), linkText(&k.User))
	c.step("del", "link:"+access.Hash(link))
}

// OpenLink makes a link by which a user may set a login, once, while nothing else ends it: what counts
// Since up does, as another link.
func (c *Change) OpenLink(link string, u *access.User, keep time.Duration) {
	c.step("lend", "link:"+access.Hash(link), linkText(u), keep.Milliseconds())
}

func linkText(u *access.User) string { return u.ID + " " + strconv.Itoa(u.Since) }

// Link returns the user that a link is for.
func (s *Store) Link(ctx context.Context, link string) (*Kept, error) {
	text, err := s.rdb.Get(ctx, s.at("link:"+access.Hash(link))).Result()
	if isNil(err) {
		return nil, ErrNoUser
	}
	if err != nil {
		return nil, fmt.Errorf("read a link: %w", err)
	}
	id, _, _ := strings.Cut(text, " ")
	k, err := s.User(ctx, id)
	if err == nil && linkText(&k.User) != text {
		return nil, ErrNoUser // another one is newer
	}
	return k, err
}

// AddSession keeps a new session.
func (c *Change) AddSession(id, user, text string, ends time.Time) {
	idle := min(access.SessionIdle, time.Until(ends))
	c.step("lend", "session:"+id, text, max(idle.Milliseconds(), 1))
	c.step("sadd", "sessions:"+user, id)
}

// EndSession forgets one; no web takes it any more, Redis restored from a backup included.
func (c *Change) EndSession(id, user string, ends time.Time) {
	c.step("del", "session:"+id)
	c.step("srem", "sessions:"+user, id)
	c.step("zadd", "revoked", ends.UnixMilli(), SessionName(id))
	c.Tell("revoked")
	c.Tell(SessionName(id))
}

// SessionText reads what is kept of a session; "" = there is none.
func (s *Store) SessionText(ctx context.Context, id string) (string, error) {
	text, err := s.rdb.Get(ctx, s.at("session:"+id)).Result()
	if err != nil && !isNil(err) {
		return "", fmt.Errorf("read a session: %w", err)
	}
	return text, nil
}

// SessionTexts reads those of a user, by their ids. Ids of such as are gone are forgotten.
func (s *Store) SessionTexts(ctx context.Context, user string) (map[string]string, error) {
	ids, err := s.rdb.SMembers(ctx, s.at("sessions:"+user)).Result()
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	all := map[string]string{}
	for _, id := range ids {
		text, err := s.SessionText(ctx, id)
		if err != nil {
			return nil, err
		}
		if text != "" {
			all[id] = text
			continue
		}
		if err := s.rdb.SRem(ctx, s.at("sessions:"+user), id).Err(); err != nil {
			return nil, fmt.Errorf("list sessions: %w", err)
		}
	}
	return all, nil
}

// SessionsOf reads some sessions, and the users that they are of, by their ids; such as are gone are
// left out.
func (s *Store) SessionsOf(ctx context.Context, ids []string) (map[string]*access.Session,
	map[string]*access.User, error) {
	sessions, users := map[string]*access.Session{}, map[string]*access.User{}
	if err := readMany(ctx, s, "session:", ids, func(id string, one *access.Session) {
		if one != nil {
			one.ID = id
			sessions[id], users[one.User] = one, nil
		}
	}); err != nil {
		return nil, nil, err
	}
	err := readMany(ctx, s, "user:", slices.Collect(maps.Keys(users)), func(id string, u *access.User) {
		users[id] = u
	})
	return sessions, users, err
}

// Touch has sessions that were used last a while, those that are still there. None is made anew:
// a logout that is under way holds.
func (s *Store) Touch(ctx context.Context, ends map[string]time.Time) error {
	if len(ends) == 0 {
		return nil
	}
	pipe := s.rdb.Pipeline()
	for id, at := range ends {
		if idle := time.Now().Add(access.SessionIdle); idle.Before(at) {
			at = idle
		}
		pipe.PExpireAt(ctx, s.at("session:"+id), at)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("note which sessions were used: %w", err)
	}
	return nil
}

// Trust remembers that a browser was used to log in as a user.
func (s *Store) Trust(ctx context.Context, device, user string, keep time.Duration) error {
	if err := s.rdb.Set(ctx, s.at("device:"+access.Hash(device)), user, keep).Err(); err != nil {
		return fmt.Errorf("remember a browser: %w", err)
	}
	return nil
}

// Trusted returns the user that a browser was used by last; "" = nobody.
func (s *Store) Trusted(ctx context.Context, device string) (string, error) {
	user, err := s.rdb.Get(ctx, s.at("device:"+access.Hash(device))).Result()
	if err != nil && !isNil(err) {
		return "", fmt.Errorf("look for a browser: %w", err)
	}
	return user, nil
}

// PublicURL is the address that a web process serves, for programs that print links.
func (s *Store) PublicURL(ctx context.Context) (string, error) {
	url, err := s.rdb.Get(ctx, s.at("url")).Result()
	if err != nil && !isNil(err) {
		return "", fmt.Errorf("read the installation's address: %w", err)
	}
	return url, nil
}

// SetPublicURL notes the address.
func (s *Store) SetPublicURL(ctx context.Context, url string) error {
	if err := s.rdb.Set(ctx, s.at("url"), url, 0).Err(); err != nil {
		return fmt.Errorf("note the installation's address: %w", err)
	}
	return nil
}
