// Package people lets persons log in: by a password and perhaps a code of an app, by a passkey,
// or by an issuer of OpenID Connect. It makes and ends their sessions. The gate asks it who has
// a session; package store keeps all that it knows.
package people

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/go-webauthn/webauthn/webauthn"

	"longshore/internal/access"
	"longshore/internal/access/password"
	"longshore/internal/access/store"
	"longshore/internal/sealing"
)

// Config of People.
type Config struct {
	Store   *store.Store
	Public  *url.URL     // where browsers reach the installation
	Secrets []string     // from which keys are derived, the newest first; none = no codes of apps
	Login   IssuerConfig // by whom people may log in too
	// Refused notes who was refused; nil = nobody cares.
	Refused func(access.Entry)
	Log     *slog.Logger
}

// People lets persons log in. It is safe for concurrent use.
type People struct {
	Config
	hasher   *password.Hasher
	sessions *scs.SessionManager
	issuer   *issuer            // nil = there is none
	sealer   *sealing.Sealer    // nil = there is no secret
	webauthn *webauthn.WebAuthn // nil = there can be no passkeys
}

// New returns the People of an installation.
func New(c Config) (*People, error) {
	p := &People{Config: c, hasher: password.New(), sessions: newSessions(c.Store),
		issuer: newIssuer(c.Login)}
	if c.Refused == nil {
		p.Refused = func(access.Entry) {}
	}
	var err error
	if p.sealer, err = sealing.New("longshore codes of apps, 1", c.Secrets...); err != nil {
		return nil, err
	}
	if p.webauthn, err = p.newWebauthn(); err != nil {
		return nil, err
	}
	return p, nil
}

// A Client is the browser that somebody acts by.
type Client struct {
	Address string // as it counts for limits
	Agent   string
	Device  string // what the browser was given at a login before; "" = nothing
}

// What can go wrong beside Redis and password.ErrBusy.
var (
	ErrWrong   = errors.New("they don't belong together")
	ErrLink    = errors.New("the link was used, or is too old")
	ErrOver    = errors.New("that took too long, or was begun elsewhere")
	ErrNoCodes = errors.New("codes of an app need ACCESS_SECRET")
	ErrLast    = errors.New("it is the last way to log in")
)

// A WaitError says that there were too many tries.
type WaitError struct{ After time.Duration }

func (e *WaitError) Error() string { return fmt.Sprintf("too many tries: wait %v", e.After) }

// A BadPasswordError says what is wrong with a new password.
type BadPasswordError struct{ Detail string }

func (e *BadPasswordError) Error() string { return e.Detail }

// An Outcome is what came of a step of a login.
type Outcome struct {
	Cookie  string // of the new session; "" = one more proof is wanted
	Pending string // names the login that is half done
	Device  string // for the browser to keep
}

// drawSecret returns 256 random bits as a text.
func drawSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// network is what counts as one client of an address.
func network(address string) string {
	if ip := net.ParseIP(address); ip != nil && ip.To4() == nil {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return address
}

// did is the audit log's entry of what a person does about himself.
func did(u *access.User, c Client, action string) access.Entry {
	return access.Entry{Time: time.Now().UTC(), Actor: u.ID, Kind: access.KindSession, Tenant: u.Tenant,
		Address: c.Address, Action: action, Target: store.UserName(u.ID)}
}

// tell logs it.
func (p *People) tell(ctx context.Context, e access.Entry) {
	p.Log.InfoContext(ctx, "audit", "action", e.Action, "target", e.Target, "actor", e.Actor, "kind",
		string(e.Kind), "tenant", e.Tenant, "client", e.Address)
}

// short names something in a key of Redis that must say nothing of it.
func short(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
