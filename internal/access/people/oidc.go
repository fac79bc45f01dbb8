package people

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"longshore/internal/access"
	"longshore/internal/access/store"
)

// IssuerConfig says by which issuer of OpenID Connect people may log in. The zero value: by none.
type IssuerConfig struct {
	URL, ClientID, ClientSecret string
	// Domains are those of verified e-mail addresses whose people need no invitation.
	Domains []string
	// TrustMFA: whom the issuer says to have proved two things isn't asked for a code.
	TrustMFA bool
}

// CallbackPath is where the issuer sends browsers back to.
const CallbackPath = "/ui/login/issuer/back"

// What can go wrong with a login by an issuer.
var (
	ErrIssuerAway = errors.New("the issuer can't be reached")
	// ErrUninvited is for somebody whom the issuer knows, and nobody has invited.
	ErrUninvited = errors.New("nobody has invited this person")
	// ErrNotAnew is for who was to prove again who it is, of which the issuer says nothing.
	ErrNotAnew = errors.New("the issuer doesn't say that the person proved it anew")
	// ErrHasLogin is for an e-mail address of somebody who logs in otherwise: it may be another's
	// by now.
	ErrHasLogin = errors.New("there is another way to log in")
)

// An Errand is what somebody is sent to the issuer for, beside a login. The zero value: nothing else.
type Errand struct {
	Link  *access.Session // of who wants the issuer as one more way to log in
	Again *access.Session // of who is to prove again who it is
	Back  string          // where to go afterwards
}

// A journey is a login on its way to the issuer and back.
type journey struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Back     string `json:"back,omitempty"`
	Link     string `json:"link,omitempty"` // the sessions of an Errand
	Again    string `json:"again,omitempty"`
	Begun    int64  `json:"begun,omitempty"` // in s
}

// Issuer reports whether people can log in by an issuer, and its name.
func (p *People) Issuer() string {
	if p.issuer == nil {
		return ""
	}
	u, err := url.Parse(p.issuer.URL)
	if err != nil {
		return p.issuer.URL
	}
	return u.Hostname()
}

// BeginIssuer returns where a browser is to go to log in, and the name of the login, which the
// browser keeps.
func (p *People) BeginIssuer(ctx context.Context, c Client, e Errand) (to, name string, err error) {
	if p.issuer == nil {
		return "", "", ErrOver
	}
	if err := p.mayAsk(ctx, c); err != nil {
		return "", "", err
	}
	provider, err := p.issuer.find(ctx)
	if err != nil {
		return "", "", err
	}
	j := journey{Nonce: drawSecret(), Verifier: oauth2.GenerateVerifier(), Back: e.Back,
		Begun: time.Now().Unix()}
	options := []oauth2.AuthCodeOption{oidc.Nonce(j.Nonce), oauth2.S256ChallengeOption(j.Verifier)}
	if e.Link != nil {
		j.Link = e.Link.ID
	}
	if e.Again != nil {
		j.Again = e.Again.ID
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"),
			oauth2.SetAuthURLParam("max_age", "0"))
	}
	text, err := json.Marshal(j)
	if err != nil {
		return "", "", err
	}
	name, state := drawSecret(), drawSecret()
	if err := p.Store.Lend(ctx, "issuer:"+short(name+" "+state), string(text), ceremonyLife); err != nil {
		return "", "", err
	}
	return p.issuer.oauth(provider, p.Public).AuthCodeURL(state, options...), name, nil
}

// told is what an issuer says of somebody.
type told struct {
	access.Identity
	Email    string
	Verified bool
	Hosted   bool // the person is of who has the address's domain, as far as the issuer tells
	MFA      bool
	At       time.Time // of the proof; zero = the issuer doesn't say
}

// EndIssuer logs in who comes back from the issuer. What the issuer says in words is nobody's to
// read: anybody may have written it. Outcome is as for Login; with a link there is a Cookie only.
func (p *People) EndIssuer(ctx context.Context, c Client, name string, q url.Values) (o Outcome, back string,
	err error) {
	if p.issuer == nil {
		return o, "", ErrOver
	}
	text, err := p.Store.Take(ctx, "issuer:"+short(name+" "+q.Get("state")))
	if err != nil {
		return o, "", err
	}
	var j journey
	if text == "" || json.Unmarshal([]byte(text), &j) != nil {
		return o, "", ErrOver
	}
	who, err := p.ask(ctx, j, q)
	if err != nil {
		if !errors.Is(err, ErrIssuerAway) {
			p.refused(c, nil, "login.issuer")
		}
		return o, j.Back, err
	}
	if j.Link != "" {
		o.Cookie, err = p.link(ctx, c, j.Link, who.Identity)
		return o, j.Back, err
	}
	var old *access.Session
	var k *store.Kept
	edit := (func(*access.User) error)(nil)
	if j.Again != "" {
		k, old, err = p.provedAgain(ctx, j, who)
	} else {
		k, edit, err = p.known(ctx, who)
	}
	if err != nil {
		p.refused(c, nil, "login.issuer")
		return o, j.Back, err
	}
	said := proof{[]string{howIssuer}, who.At}
	if k.TOTP != "" && !(p.issuer.TrustMFA && who.MFA) {
		o, err = p.proved(ctx, c, k, old, said)
	} else {
		o, err = p.complete(ctx, c, k, old, said, edit)
	}
	return o, j.Back, err
}

// provedAgain returns who was to prove again who it is, and the session that a new one replaces. That the
// issuer knew the person from before is no proof.
func (p *People) provedAgain(ctx context.Context, j journey, who told) (*store.Kept, *access.Session, error) {
	s, err := p.read(ctx, j.Again)
	if errors.Is(err, access.ErrUnknown) {
		return nil, nil, ErrOver
	}
	if err != nil {
		return nil, nil, err
	}
	k, err := p.Store.UserByIdentity(ctx, who.Identity)
	switch {
	case errors.Is(err, store.ErrNoUser):
		return nil, nil, ErrWrong
	case err != nil:
		return nil, nil, err
	case k.ID != s.User:
		return nil, nil, ErrWrong
	case k.Disabled || k.Since != s.Since:
		return nil, nil, ErrOver
	case who.At.Before(time.Unix(j.Begun, 0).Add(-issuerClock)):
		return nil, nil, ErrNotAnew
	}
	return k, &s, nil
}

// issuerClock is how much the issuer's clock may be behind ours.
const issuerClock = time.Minute

// ask has the issuer say who it is.
func (p *People) ask(ctx context.Context, j journey, q url.Values) (who told, err error) {
	provider, err := p.issuer.find(ctx)
	if err != nil {
		return who, err
	}
	if from, named := q["iss"]; named && !slices.Equal(from, []string{p.issuer.URL}) || p.issuer.tells &&
		!named {
		return who, fmt.Errorf("%w: it came back from another issuer", ErrWrong)
	}
	if q.Get("code") == "" {
		return who, fmt.Errorf("%w: the issuer refused", ErrWrong)
	}
	ctx = oidc.ClientContext(ctx, p.issuer.client)
	tokens, err := p.issuer.oauth(provider, p.Public).Exchange(ctx, q.Get("code"),
		oauth2.VerifierOption(j.Verifier))
	if err != nil {
		if refused := new(oauth2.RetrieveError); errors.As(err, &refused) {
			return who, fmt.Errorf("%w: the code isn't taken", ErrWrong)
		}
		return who, fmt.Errorf("%w: %w", ErrIssuerAway, err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: p.issuer.ClientID}).Verify(ctx, raw)
	if err != nil {
		return who, fmt.Errorf("%w: %w", ErrWrong, err)
	}
	var claims claims
	if err := id.Claims(&claims); err != nil {
		return who, fmt.Errorf("%w: %w", ErrWrong, err)
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(j.Nonce)) != 1:
		return who, fmt.Errorf("%w: another login's nonce", ErrWrong)
	case claims.AZP != "" && claims.AZP != p.issuer.ClientID, len(id.Audience) > 1 && claims.AZP == "":
		return who, fmt.Errorf("%w: for another client", ErrWrong)
	case id.AccessTokenHash != "" && id.VerifyAccessToken(tokens.AccessToken) != nil:
		return who, fmt.Errorf("%w: of another access token", ErrWrong)
	case id.Subject == "" || len(id.Subject) > 255:
		return who, fmt.Errorf("%w: nobody", ErrWrong)
	}
	if claims.Email == "" { // some tell it apart
		if info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens)); err == nil &&
			info.Subject == id.Subject {
			more := claims
			if info.Claims(&more) == nil {
				claims.Email, claims.Verified, claims.Owned = more.Email, more.Verified, more.Owned
			}
		}
	}
	host := p.Issuer()
	_, domain, _ := strings.Cut(claims.Email, "@")
	return told{Identity: access.Identity{Issuer: id.Issuer, Subject: id.Subject},
		Email: access.FoldEmail(claims.Email), Verified: claims.verified(host),
		Hosted: claims.hosted(host, domain), MFA: slices.Contains(claims.AMR, "mfa"), At: claims.at()}, nil
}

// known returns the person whom an issuer means, and what is to change with the login. An
// address binds once, and only who has no way to log in yet.
func (p *People) known(ctx context.Context, who told) (*store.Kept, func(*access.User) error, error) {
	k, err := p.Store.UserByIdentity(ctx, who.Identity)
	if err == nil && k.Disabled {
		return nil, nil, ErrUninvited
	}
	if !errors.Is(err, store.ErrNoUser) {
		return k, nil, err
	}
	if who.Email == "" || !who.Verified {
		return nil, nil, ErrUninvited
	}
	k, err = p.Store.UserByEmail(ctx, who.Email)
	if errors.Is(err, store.ErrNoUser) && who.Hosted && p.welcome(who.Email) {
		by := store.Actor{Who: &access.Principal{Kind: access.KindLocal, ID: "issuer",
			Tenant: access.Installation,
			Scopes: access.Root.Scopes}, Log: p.Log}
		if _, _, err = p.Store.AddUser(ctx, by, access.User{Email: who.Email, Role: access.Viewer,
			Tenant: access.DefaultTenant}); err != nil && !errors.Is(err, store.ErrTaken) {
			return nil, nil, err
		}
		k, err = p.Store.UserByEmail(ctx, who.Email)
	}
	switch {
	case errors.Is(err, store.ErrNoUser):
		return nil, nil, ErrUninvited
	case err != nil:
		return nil, nil, err
	case k.Disabled:
		return nil, nil, ErrUninvited
	case !k.Invited():
		return nil, nil, ErrHasLogin
	}
	return k, func(u *access.User) error {
		if !u.Invited() {
			return ErrHasLogin // meanwhile
		}
		u.Identities = []access.Identity{who.Identity}
		return nil
	}, nil
}

// welcome reports whether people of an address's domain need no invitation.
func (p *People) welcome(email string) bool {
	_, domain, _ := strings.Cut(email, "@")
	return slices.Contains(p.issuer.Domains, domain)
}

// link has the issuer be one more way to log in, of who is logged in.
func (p *People) link(ctx context.Context, c Client, session string, who access.Identity) (string, error) {
	s, err := p.read(ctx, session)
	if errors.Is(err, access.ErrUnknown) {
		return "", ErrOver
	}
	if err != nil {
		return "", err
	}
	if k, err := p.Store.UserByIdentity(ctx, who); !errors.Is(err, store.ErrNoUser) {
		if err == nil && k.ID != s.User {
			err = ErrHasLogin
		}
		return "", first(err, ErrHasLogin)
	}
	return p.change(ctx, c, &s, "users.issuer.add", func(u *access.User) error {
		u.Identities = append(slices.Clone(u.Identities), who)
		return nil
	})
}

// EndIdentities has issuers let a person in no more.
func (p *People) EndIdentities(ctx context.Context, c Client, s *access.Session) (string, error) {
	return p.change(ctx, c, s, "users.issuer.end", func(u *access.User) error {
		u.Identities = nil
		return nil
	})
}
