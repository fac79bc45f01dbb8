package people

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"longshore/internal/access"
	"longshore/internal/access/store"
)

// Bounds of passkeys.
const (
	maxPasskeys   = 20
	ceremonyLife  = 5 * time.Minute
	MaxCredential = 64 << 10 // bytes of what a browser sends of one
)

// ErrNoPasskeys says that there can be none: a passkey is tied to a name, not to an address.
var ErrNoPasskeys = errors.New("passkeys need a PUBLIC_URL with a name")

// ErrMany says that a person has as many passkeys as are kept.
var ErrMany = fmt.Errorf("there are %d passkeys", maxPasskeys)

// newWebauthn returns what checks passkeys. Their name and origin are those of the settings,
// never the Host that a client sends. nil: there can be none.
func (p *People) newWebauthn() (*webauthn.WebAuthn, error) {
	if net.ParseIP(p.Public.Hostname()) != nil {
		return nil, nil
	}
	timeout := webauthn.TimeoutConfig{Enforce: true, Timeout: ceremonyLife, TimeoutUVD: ceremonyLife}
	w, err := webauthn.New(&webauthn.Config{RPID: p.Public.Hostname(), RPDisplayName: "Longshore",
		RPOrigins:            []string{p.Public.Scheme + "://" + p.Public.Host},
		EncodeUserIDAsString: false, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey:        protocol.ResidentKeyRequirementRequired,
			RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification:   protocol.VerificationRequired},
		Timeouts: webauthn.TimeoutsConfig{Login: timeout, Registration: timeout}})
	if err != nil {
		return nil, fmt.Errorf("passkeys of %s: %w", p.Public, err)
	}
	return w, nil
}

// A holder is a user as the library wants one.
type holder struct{ *access.User }

func (h holder) WebAuthnID() []byte {
	id, _ := base64.RawURLEncoding.DecodeString(h.Handle) // we wrote it
	return id
}
func (h holder) WebAuthnName() string        { return h.Email }
func (h holder) WebAuthnDisplayName() string { return h.Email }

func (h holder) WebAuthnCredentials() []webauthn.Credential {
	var all []webauthn.Credential
	for _, k := range h.Passkeys {
		var c webauthn.Credential
		if json.Unmarshal(k.Record, &c) == nil {
			all = append(all, c)
		}
	}
	return all
}

// lendCeremony keeps what a ceremony is to fit, for the one that has a name, once.
func (p *People) lendCeremony(ctx context.Context, name string, s *webauthn.SessionData) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return p.Store.Lend(ctx, name, string(text), ceremonyLife)
}

func (p *People) takeCeremony(ctx context.Context, name string) (s webauthn.SessionData, err error) {
	text, err := p.Store.Take(ctx, name)
	if err != nil {
		return s, err
	}
	if text == "" || json.Unmarshal([]byte(text), &s) != nil {
		return s, ErrOver
	}
	return s, nil
}

// Passkeys reports whether there can be any.
func (p *People) Passkeys() bool { return p.webauthn != nil }

// BeginPasskey returns what a browser needs to make a passkey for who is logged in.
func (p *People) BeginPasskey(ctx context.Context, s *access.Session) (any, error) {
	if p.webauthn == nil {
		return nil, ErrNoPasskeys
	}
	k, err := p.Store.User(ctx, s.User)
	if err != nil {
		return nil, err
	}
	if len(k.Passkeys) >= maxPasskeys {
		return nil, ErrMany
	}
	there := webauthn.Credentials(holder{&k.User}.WebAuthnCredentials()).CredentialDescriptors()
	options, session, err := p.webauthn.BeginRegistration(holder{&k.User}, webauthn.WithExclusions(there))
	if err != nil {
		return nil, fmt.Errorf("begin a passkey: %w", err)
	}
	return options, p.lendCeremony(ctx, "passkey.new:"+s.ID, session)
}

// AddPasskey keeps the passkey that a browser has made. It returns the new session's cookie.
func (p *People) AddPasskey(ctx context.Context, c Client, s *access.Session, name string,
	made []byte) (string, error) {
	if p.webauthn == nil {
		return "", ErrNoPasskeys
	}
	ceremony, err := p.takeCeremony(ctx, "passkey.new:"+s.ID)
	if err != nil {
		return "", err
	}
	k, err := p.Store.User(ctx, s.User)
	if err != nil {
		return "", err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(made)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrWrong, err)
	}
	credential, err := p.webauthn.CreateCredential(holder{&k.User}, ceremony, parsed)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrWrong, err)
	}
	record, err := json.Marshal(credential)
	if err != nil {
		return "", err
	}
	if name = access.Plain(name, 60); name == "" {
		name = "Passkey"
	}
	id := base64.RawURLEncoding.EncodeToString(credential.ID)
	if _, err := p.Store.UserByPasskey(ctx, id); !errors.Is(err, store.ErrNoUser) {
		return "", first(err, ErrWrong) // it is somebody's
	}
	return p.change(ctx, c, s, "users.passkey.add", func(u *access.User) error {
		if len(u.Passkeys) >= maxPasskeys {
			return ErrMany
		}
		u.Passkeys = append(slices.Clone(u.Passkeys), access.Passkey{ID: id, Name: name, Record: record,
			Created: time.Now().UTC().Truncate(time.Second)})
		return nil
	})
}

// RemovePasskey forgets one.
func (p *People) RemovePasskey(ctx context.Context, c Client, s *access.Session, id string) (string, error) {
	return p.change(ctx, c, s, "users.passkey.remove", func(u *access.User) error {
		u.Passkeys = slices.DeleteFunc(slices.Clone(u.Passkeys),
			func(k access.Passkey) bool { return k.ID == id })
		return nil
	})
}

// BeginPasskeyLogin returns what a browser needs to log in by a passkey, and the name of the
// login. It says nothing of who there is: the passkey tells who it is.
func (p *People) BeginPasskeyLogin(ctx context.Context, c Client) (options any, name string, err error) {
	if p.webauthn == nil {
		return nil, "", ErrNoPasskeys
	}
	if err := p.mayAsk(ctx, c); err != nil {
		return nil, "", err
	}
	options, session, err := p.webauthn.BeginDiscoverableLogin(
		webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, "", fmt.Errorf("begin a login: %w", err)
	}
	name = drawSecret()
	return options, name, p.lendCeremony(ctx, "passkey:"+short(name), session)
}

// PasskeyLogin logs in by what a passkey has signed. old is as for Login.
func (p *People) PasskeyLogin(ctx context.Context, c Client, old *access.Session, name string,
	signed []byte) (Outcome, error) {
	if p.webauthn == nil {
		return Outcome{}, ErrNoPasskeys
	}
	ceremony, err := p.takeCeremony(ctx, "passkey:"+short(name))
	if err != nil {
		return Outcome{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(signed)
	if err != nil {
		return Outcome{}, fmt.Errorf("%w: %w", ErrWrong, err)
	}
	k, err := p.Store.UserByPasskey(ctx, base64.RawURLEncoding.EncodeToString(parsed.RawID))
	if errors.Is(err, store.ErrNoUser) || err == nil && (k.Disabled || old != nil && old.User != k.ID) {
		p.refused(c, k, "login.passkey")
		return Outcome{}, ErrWrong
	}
	if err != nil {
		return Outcome{}, err
	}
	credential, err := p.webauthn.ValidateDiscoverableLogin(func(_, handle []byte) (webauthn.User, error) {
		if !bytes.Equal(handle, holder{&k.User}.WebAuthnID()) {
			return nil, ErrWrong
		}
		return holder{&k.User}, nil
	}, ceremony, parsed)
	if err != nil {
		p.refused(c, k, "login.passkey")
		return Outcome{}, fmt.Errorf("%w: %w", ErrWrong, err)
	}
	if credential.Authenticator.CloneWarning { // some count from 0 anew; a copy would too
		p.Log.WarnContext(ctx, "a passkey's counter went back: it may have been copied", "user", k.ID)
	}
	record, err := json.Marshal(credential)
	if err != nil {
		return Outcome{}, err
	}
	id := base64.RawURLEncoding.EncodeToString(credential.ID)
	return p.complete(ctx, c, k, old, proof{how: []string{howPasskey}}, func(u *access.User) error {
		u.Passkeys = slices.Clone(u.Passkeys)
		i := slices.IndexFunc(u.Passkeys, func(k access.Passkey) bool { return k.ID == id })
		if i < 0 {
			return ErrWrong // removed meanwhile
		}
		u.Passkeys[i].Record, u.Passkeys[i].Used = record, time.Now().UTC().Truncate(time.Second)
		return nil
	})
}
