package token

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"longshore/internal/access"
)

// ForeignConfig says whose JWTs are taken, and what they give.
type ForeignConfig struct {
	Issuer       string
	Audience     []string // ours: one of them must be the token's
	JWKS         string   // where its keys are; "" = as its discovery document says
	SubjectClaim string   // a name, or a JSON Pointer
	TenantClaim  string   // likewise; "" = all are of the usual tenant
	ScopeClaim   string   // words, or an array
	// Scopes are what one of theirs gives, "*" what any token gives; nil = our own names count.
	Scopes  map[string]access.Scope
	MaxLife time.Duration
	Log     *slog.Logger
}

// Foreign reads JWTs of another issuer. Its keys are fetched at the first one.
type Foreign struct {
	ForeignConfig
	client *http.Client
	// transport is of its own: nobody else's idle connections are closed.
	transport *http.Transport
	life      context.Context // of fetching keys again
	stop      context.CancelFunc

	mu    sync.Mutex
	keys  keyfunc.Keyfunc // nil: not yet
	tried time.Time
	good  time.Time // when the issuer gave keys last
}

// Bounds of fetching keys.
const (
	fetchTimeout  = 5 * time.Second
	maxFetch      = 64 << 10
	fetchAgain    = time.Minute // after an unknown kid
	keysEvery     = 10 * time.Minute
	keysKept      = 24 * time.Hour
	foreignLeeway = time.Minute
	minRSA        = 2048
)

// NewForeign returns what reads an issuer's tokens, until Close.
func NewForeign(c ForeignConfig) *Foreign {
	f := &Foreign{ForeignConfig: c}
	f.transport = http.DefaultTransport.(*http.Transport).Clone()
	f.life, f.stop = context.WithCancel(context.Background())
	f.client = &http.Client{Timeout: fetchTimeout, Transport: bounded{f},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return f
}

// SafeURL reports whether keys may be fetched from an address: by https, or from this machine.
func SafeURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	near := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && near
}

// bounded fetches no more than maxFetch bytes, and notes when keys came.
type bounded struct{ *Foreign }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxFetch+1))
	resp.Body.Close()
	if err == nil && len(text) > maxFetch {
		err = errors.New("the answer is over 64 KiB")
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		b.mu.Lock()
		b.good = time.Now()
		b.mu.Unlock()
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp, nil
}

// Close ends the fetching of keys.
func (f *Foreign) Close() {
	f.stop()
	f.transport.CloseIdleConnections()
}

// keyring returns the issuer's keys, fetched if they weren't: once a minute at most.
func (f *Foreign) keyring(ctx context.Context) (keyfunc.Keyfunc, error) {
	f.mu.Lock()
	if f.keys != nil {
		defer f.mu.Unlock()
		if time.Since(f.good) > keysKept {
			return nil, fmt.Errorf("%w: the issuer's keys are too old", access.ErrUnread)
		}
		return f.keys, nil
	}
	if time.Since(f.tried) < fetchAgain {
		f.mu.Unlock()
		return nil, fmt.Errorf("%w: the issuer's keys are not there", access.ErrUnread)
	}
	f.tried = time.Now()
	f.mu.Unlock()
	keys, err := f.fetch(f.life)
	if err != nil {
		f.Log.WarnContext(ctx, "the keys of JWT_ISSUER can't be fetched", "error", err)
		return nil, fmt.Errorf("%w: %w", access.ErrUnread, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = keys
	return keys, nil
}

func (f *Foreign) fetch(ctx context.Context) (keyfunc.Keyfunc, error) {
	at := f.JWKS
	if at == "" {
		var err error
		if at, err = f.discover(ctx); err != nil {
			return nil, err
		}
	}
	strict := false
	return keyfunc.NewDefaultOverrideCtx(ctx, []string{at},
		keyfunc.Override{Client: f.client, HTTPTimeout: fetchTimeout,
			NoErrorReturnFirstHTTPReq: &strict, RateLimitWaitMax: time.Millisecond,
			RefreshInterval: keysEvery, RefreshUnknownKID: rate.NewLimiter(rate.Every(fetchAgain), 1),
			RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
				return func(ctx context.Context, err error) {
					f.Log.WarnContext(ctx, "the keys of JWT_ISSUER can't be fetched anew", "error", err)
				}
			}})
}

// discover asks the issuer where its keys are (OpenID Connect Discovery 1.0, section 4).
func (f *Foreign) discover(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(f.Issuer, "/")+
		"/.well-known/openid-configuration", nil)
	if err != nil {
		return "", err
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var doc struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&doc) != nil ||
		doc.Issuer != f.Issuer || !SafeURL(doc.JWKS) {
		return "", fmt.Errorf(
			"the discovery document (status %d) is not of this issuer, or names no https address of keys",
			resp.StatusCode)
	}
	return doc.JWKS, nil
}

// verify returns whom a token of the issuer names.
func (f *Foreign) verify(ctx context.Context, text string, t raw) (*access.Principal, error) {
	methods := []string{"RS256", "ES256", "EdDSA"}
	if !slices.Contains(methods, t.alg) || t.kid == "" || t.typ != "" && t.typ != "JWT" &&
		!strings.EqualFold(t.typ, "at+jwt") {
		return nil, errForm("alg, kid or typ")
	}
	if f.text(t, "iss") != f.Issuer { // before any key is looked for
		return nil, errForm("of another issuer")
	}
	keys, err := f.keyring(ctx)
	if err != nil {
		return nil, err
	}
	_, err = jwt.NewParser(jwt.WithValidMethods(methods), jwt.WithoutClaimsValidation()).
		Parse(text, func(parsed *jwt.Token) (any, error) {
			key, err := keys.KeyfuncCtx(ctx)(parsed)
			if err == nil && !fits(t.alg, key) {
				err = errors.New("the key is of another kind, or weak")
			}
			return key, err
		})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", access.ErrUnknown, err)
	}
	expires, err := f.checkClaims(t, time.Now())
	if err != nil {
		return nil, err
	}
	subject := f.text(t, f.SubjectClaim)
	if !access.ValidSubject(subject) {
		return nil, errForm("no subject")
	}
	tenant := access.DefaultTenant
	if f.TenantClaim != "" {
		if tenant = f.text(t, f.TenantClaim); !access.ValidTenant(tenant) { // * is none
			return nil, access.ErrNoTenant
		}
	}
	sum := sha256.Sum256([]byte(f.Issuer + "\x00" + subject))
	scopes := f.scopes(t)
	return &access.Principal{Kind: access.KindForeign,
		ID: "j" + base64.RawURLEncoding.EncodeToString(sum[:12]), Tenant: tenant, Subject: subject,
		Scopes: scopes&^access.FunctionsDeploy | access.Known, Expires: expires}, nil
}

// fits reports whether a key is one for the algorithm, and strong enough.
func fits(alg string, key any) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return alg == "RS256" && key.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return alg == "ES256" && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// checkClaims checks whom a token is for, and its times. It returns its end.
func (f *Foreign) checkClaims(t raw, now time.Time) (time.Time, error) {
	audience := words(t.claims["aud"], false)
	if !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(f.Audience, a) }) {
		return time.Time{}, errForm("for another audience")
	}
	exp, ok := numeric(t.claims["exp"])
	if !ok {
		return time.Time{}, errForm("no exp")
	}
	issued := now
	for _, name := range []string{"iat", "nbf"} {
		if t.claims[name] == nil {
			continue
		}
		at, ok := numeric(t.claims[name])
		if !ok || at.After(now.Add(foreignLeeway)) {
			return time.Time{}, errForm("not yet good")
		}
		if name == "iat" {
			issued = at
		}
	}
	if exp.Sub(issued) > f.MaxLife {
		return time.Time{}, errForm("it lives too long")
	}
	end := exp.Add(foreignLeeway)
	if !now.Before(end) {
		return time.Time{}, access.ErrExpired
	}
	return end, nil
}

// numeric reads seconds since 1970.
func numeric(value json.RawMessage) (time.Time, bool) {
	var seconds float64
	if value == nil || json.Unmarshal(value, &seconds) != nil || seconds < 0 || seconds > 1e11 ||
		value[0] == 'n' {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(seconds * 1000)), true
}

// at finds a claim by its name, or by a JSON Pointer (RFC 6901).
func (t raw) at(claim string) json.RawMessage {
	if !strings.HasPrefix(claim, "/") {
		return t.claims[claim]
	}
	members := t.claims
	var value json.RawMessage
	for _, part := range strings.Split(claim[1:], "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		if value = members[part]; value == nil {
			return nil
		}
		members = nil
		_ = json.Unmarshal(value, &members) // no object: the next part finds nothing
	}
	return value
}

// text is a claim that must be a text; "" if it is none.
func (f *Foreign) text(t raw, claim string) (text string) {
	if value := t.at(claim); value == nil || json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

// words are those of an array, or of a text: one, or if split is set those between spaces.
func words(value json.RawMessage, split bool) (list []string) {
	var text string
	switch {
	case value == nil:
		return nil
	case json.Unmarshal(value, &text) == nil && split:
		return strings.Fields(text)
	case json.Unmarshal(value, &text) == nil:
		return []string{text}
	case json.Unmarshal(value, &list) != nil:
		return nil
	}
	return list
}

// scopes are what a token gives.
func (f *Foreign) scopes(t raw) access.Scope {
	all := f.Scopes["*"]
	for _, word := range words(t.at(f.ScopeClaim), true) {
		if f.Scopes != nil {
			all |= f.Scopes[word]
		} else if scope, ok := access.ParseScope(word); ok {
			all |= scope
		}
	}
	return all
}
