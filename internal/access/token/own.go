package token

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"longshore/internal/access"
	"longshore/internal/access/store"
)

// What all pages' tokens say of themselves.
const (
	ownIssuer = "longshore"
	ownType   = "longshore+jwt"
	kidBegin  = "ls-"
)

// Keys keeps the keys that sign where no secret is set. store.Store implements it.
type Keys interface {
	Signing(ctx context.Context) ([]store.Signing, error)
	Sign(ctx context.Context) error
}

// Own makes and reads pages' tokens: JWTs that only we verify, so HMAC is enough. The keys
// are derived from the installation's secrets, the first of which signs; without secrets
// they lie in Redis, a new one each month.
type Own struct {
	audience string // the installation's prefix
	secrets  bool
	store    Keys

	mu     sync.Mutex
	keys   map[string][]byte // by kid
	signs  string            // kid
	fresh  time.Time         // when the newest was written
	loaded time.Time
}

// NewOwn returns what makes the tokens of an installation.
func NewOwn(audience string, secrets []string, keys Keys) (*Own, error) {
	o := &Own{audience: audience, store: keys, secrets: len(secrets) > 0, keys: map[string][]byte{}}
	for i, secret := range secrets {
		key, err := hkdf.Key(sha256.New, []byte(secret), nil, "longshore pages' tokens, 1", sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive a key: %w", err)
		}
		sum := sha256.Sum256(key)
		kid := kidBegin + hex.EncodeToString(sum[:4])
		o.keys[kid] = key
		if i == 0 {
			o.signs = kid
		}
	}
	return o, nil
}

// settled is how old a key in Redis is before it signs: each web process has it by then.
const settled = time.Minute

// Reload reads the keys anew.
func (o *Own) Reload(ctx context.Context) error {
	if o.secrets {
		return nil
	}
	list, err := o.store.Signing(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b store.Signing) int { return a.Was.Compare(b.Was) })
	keys, signs, fresh := map[string][]byte{}, "", time.Time{}
	for _, k := range list {
		kid := kidBegin + k.ID
		keys[kid], fresh = k.Key, k.Was
		if signs == "" || time.Since(k.Was) >= settled {
			signs = kid
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keys, o.signs, o.fresh, o.loaded = keys, signs, fresh, time.Now()
	return nil
}

// signing returns the key that signs now.
func (o *Own) signing(ctx context.Context) (kid string, key []byte, err error) {
	o.mu.Lock()
	old := !o.secrets && time.Since(o.fresh) >= store.SigningMonth
	settles := !o.secrets && time.Since(o.loaded) >= settled
	o.mu.Unlock()
	if old {
		if err := o.store.Sign(ctx); err != nil {
			return "", nil, err
		}
	}
	if old || settles {
		if err := o.Reload(ctx); err != nil {
			return "", nil, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.signs, o.keys[o.signs], nil
}

// find returns the key of a kid.
func (o *Own) find(ctx context.Context, kid string) ([]byte, error) {
	o.mu.Lock()
	key, lately := o.keys[kid], o.secrets || time.Since(o.loaded) < time.Second
	o.mu.Unlock()
	if key != nil {
		return key, nil
	}
	if lately {
		return nil, errForm("unknown key")
	}
	if err := o.Reload(ctx); err != nil { // another process has just made it
		return nil, fmt.Errorf("%w: %w", access.ErrUnread, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if key = o.keys[kid]; key == nil {
		return nil, errForm("unknown key")
	}
	return key, nil
}

// ownClaims is what a page's token says.
type ownClaims struct {
	jwt.RegisteredClaims
	Tenant string       `json:"ten"`
	User   string       `json:"usr,omitempty"` // the subject
	All    bool         `json:"all,omitempty"` // … all of whose jobs it sees
	Maker  string       `json:"mk"`
	Scopes string       `json:"scp"`
	Origin string       `json:"org,omitempty"`
	Jobs   []string     `json:"jobs,omitempty"`
	Submit *ownSubmit   `json:"sbm,omitempty"`
	Rate   *access.Rate `json:"rate,omitempty"`
}

type ownSubmit struct {
	Job      string            `json:"job"`
	Types    []string          `json:"types"`
	MaxBytes int64             `json:"max"`
	Payload  json.RawMessage   `json:"pay,omitempty"`
	With     map[string]string `json:"with,omitempty"`
}

// Mint makes the token of a principal: one of kind token, with a Grant and an end, in whole
// seconds. An *access.InvalidError says that it would be too long.
func (o *Own) Mint(ctx context.Context, p *access.Principal) (string, error) {
	kid, key, err := o.signing(ctx)
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	c := &ownClaims{RegisteredClaims: jwt.RegisteredClaims{Issuer: ownIssuer,
		Audience: jwt.ClaimStrings{o.audience}, ID: p.ID,
		ExpiresAt: jwt.NewNumericDate(p.Expires), IssuedAt: jwt.NewNumericDate(time.Now())},
		Tenant: p.Tenant, User: p.Subject, All: p.Grant.All, Maker: p.Grant.Maker, Scopes: p.Scopes.String(),
		Origin: p.Grant.Origin, Jobs: p.Grant.Jobs}
	if s := p.Grant.Submit; s != nil {
		c.Submit = &ownSubmit{Job: s.Job, Types: s.Types, MaxBytes: s.MaxBytes, Payload: s.Payload,
			With: maps.Clone(s.With)}
	}
	if (p.Rate != access.Rate{}) {
		c.Rate = &p.Rate
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	t.Header["kid"], t.Header["typ"] = kid, ownType
	text, err := t.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("mint a token: %w", err)
	}
	if len(text) > maxToken {
		return "", &access.InvalidError{
			Detail: "the token would be too long: give it a shorter payload, or fewer jobs"}
	}
	return text, nil
}

// verify returns whom a token of ours names; late is how long it may have expired. Its end is
// looked at by hand: who signed it is asked first, and there is no leeway for our own clock.
func (o *Own) verify(ctx context.Context, text string, t raw, late time.Duration) (*access.Principal, error) {
	if t.alg != "HS256" || t.typ != ownType {
		return nil, errForm("not as we make them")
	}
	key, err := o.find(ctx, t.kid)
	if err != nil {
		return nil, err
	}
	var c ownClaims
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithoutClaimsValidation())
	same := func(*jwt.Token) (any, error) { return key, nil }
	if _, err := parser.ParseWithClaims(text, &c, same); err != nil {
		return nil, fmt.Errorf("%w: %w", access.ErrUnknown, err)
	}
	if c.Issuer != ownIssuer || !slices.Equal(c.Audience, []string{o.audience}) || c.ID == "" ||
		c.ExpiresAt == nil {
		return nil, errForm("of another installation")
	}
	if c.Tenant != access.Installation && !access.ValidTenant(c.Tenant) || c.All && c.User == "" {
		return nil, errForm("of nobody's")
	}
	if !time.Now().Before(c.ExpiresAt.Add(late)) {
		return nil, access.ErrExpired
	}
	scopes, err := access.ParseScopes(strings.Fields(c.Scopes))
	if err != nil {
		return nil, errForm("of a newer version")
	}
	p := &access.Principal{Kind: access.KindToken, ID: c.ID, Tenant: c.Tenant, Subject: c.User,
		Scopes: scopes, Expires: c.ExpiresAt.Time,
		Grant: &access.Grant{Maker: c.Maker, Origin: c.Origin, Jobs: c.Jobs, All: c.All}}
	if c.Rate != nil {
		p.Rate = *c.Rate
	}
	p.Types = []string{} // none
	if s := c.Submit; s != nil {
		p.Types = s.Types
		p.Grant.Submit = &access.Submit{Job: s.Job, Until: c.ExpiresAt.Time, Types: s.Types,
			MaxBytes: s.MaxBytes, Payload: s.Payload, With: s.With}
	}
	return p, nil
}
