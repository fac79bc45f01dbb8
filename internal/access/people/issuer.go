package people

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// An issuer is asked when somebody logs in by it for the first time: it may be away when a
// process starts.
type issuer struct {
	IssuerConfig
	client *http.Client

	mu       sync.Mutex
	provider *oidc.Provider
	tells    bool          // it names itself when it sends browsers back (RFC 9207)
	asking   chan struct{} // closed when it has been asked; nil = nobody asks
	failed   error         // what came of it last
	tried    time.Time
}

const (
	issuerTimeout = 5 * time.Second
	issuerAgain   = 2 * time.Second // until one that was away is asked again
	maxIssuer     = 256 << 10       // bytes of an answer
)

func newIssuer(c IssuerConfig) *issuer {
	if c.URL == "" {
		return nil
	}
	return &issuer{IssuerConfig: c, client: &http.Client{Timeout: issuerTimeout, Transport: bounded{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// bounded cuts answers that are too long.
type bounded struct{}

func (bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxIssuer), answer.Body}
	}
	return answer, err
}

// find returns the issuer's provider. One process asks for it once at a time, and who waits for that
// holds up nobody else.
func (i *issuer) find(ctx context.Context) (*oidc.Provider, error) {
	for {
		i.mu.Lock()
		if i.provider != nil || i.failed != nil && time.Since(i.tried) < issuerAgain {
			defer i.mu.Unlock()
			return i.provider, i.failed
		}
		asked := i.asking
		if asked == nil {
			asked = make(chan struct{})
			i.asking = asked
			// It outlives who asks first: others wait for it too, for issuerTimeout at most.
			go i.discover(context.WithoutCancel(ctx), asked)
		}
		i.mu.Unlock()
		select {
		case <-asked:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (i *issuer) discover(ctx context.Context, done chan struct{}) {
	defer close(done)
	var more struct {
		Tells bool `json:"authorization_response_iss_parameter_supported"`
	}
	// The provider keeps the context for the keys that it fetches later.
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.URL)
	if err == nil {
		err = provider.Claims(&more)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asking, i.failed, i.tried = nil, nil, time.Now()
	if err != nil {
		i.failed = fmt.Errorf("%w: %w", ErrIssuerAway, err)
		return
	}
	i.provider, i.tells = provider, more.Tells
}

func (i *issuer) oauth(p *oidc.Provider, public *url.URL) *oauth2.Config {
	return &oauth2.Config{ClientID: i.ClientID, ClientSecret: i.ClientSecret, Endpoint: p.Endpoint(),
		RedirectURL: strings.TrimSuffix(public.String(), "/") + CallbackPath,
		Scopes:      []string{oidc.ScopeOpenID, "email"}}
}

// Claims are what an issuer says of somebody's address, and of the login. Two issuers that many have
// say by claims of their own what an address is worth.
type claims struct {
	Email    string          `json:"email"`
	Verified json.RawMessage `json:"email_verified"`
	Owned    json.RawMessage `json:"xms_edov"` // Entra: the owner of the domain is known to it
	Hosted   string          `json:"hd"`       // Google: the organization's domain
	AZP      string          `json:"azp"`
	AMR      []string        `json:"amr"`
	AuthTime json.Number     `json:"auth_time"`
}

// verified reports whether the address is said to be the person's. Nothing but true says so. Entra
// lets whoever runs a directory write any address, and doesn't say email_verified.
func (c *claims) verified(host string) bool {
	if entra(host) {
		return slices.Contains([]string{"true", "1", `"true"`, `"1"`}, string(c.Owned))
	}
	return string(c.Verified) == "true"
}

// hosted reports whether the person belongs to who has a domain, if the issuer tells it apart: anybody may
// have a consumer's account at Google with an address of elsewhere, which was verified once.
func (c *claims) hosted(host, domain string) bool {
	return host != "accounts.google.com" || strings.EqualFold(c.Hosted, domain)
}

func entra(host string) bool {
	return slices.Contains([]string{"login.microsoftonline.com", "login.microsoftonline.us",
		"login.partner.microsoftonline.cn", "sts.windows.net"}, host) ||
		strings.HasSuffix(host, ".ciamlogin.com")
}

// at is when the person proved who it is, as the issuer says; zero = it doesn't say.
func (c *claims) at() time.Time {
	n, err := c.AuthTime.Int64()
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}
