package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"longshore/internal/loop"
)

// Config says how to reach a server.
type Config struct {
	// URL is the server's root, as "https://jobs.example.com". Required.
	URL string
	// Token is sent as a bearer token; "" = none.
	Token string
	// HTTP carries the requests; nil = a client of our own. It should have no
	// Timeout, which would cut uploads and long-polls. Its CheckRedirect is asked
	// about redirects of reads within one scheme, host and port; no other is followed.
	HTTP *http.Client
	// RetryFor is how long a request that is safe to repeat is repeated while
	// no good answer comes; each good answer starts the time anew. Wait and
	// Follow try eight times as long once they have seen the job.
	// 0 = DefaultRetryFor, negative = not at all.
	RetryFor time.Duration
	// OnRetry is told before each pause, for a message to a person; nil = nobody is.
	OnRetry func(err error, pause time.Duration)
}

// DefaultRetryFor is the default of Config.RetryFor: about a restart of the server.
const DefaultRetryFor = 15 * time.Second

// A Client talks to one server. It is safe for concurrent use.
type Client struct {
	base     *url.URL
	token    string
	http     *http.Client
	retryFor time.Duration
	onRetry  func(error, time.Duration)
	sleep    func(context.Context, time.Duration) error // a field so that tests need not wait
}

// New returns a client. It does not connect yet; the error is about cfg.URL.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(cfg.URL, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		// The URL is not repeated: it may hold a password.
		return nil, errors.New("server URL must look like http://host:port or https://host")
	}
	base.RawQuery, base.Fragment = "", ""
	c := &Client{
		base: base, token: cfg.Token, retryFor: cfg.RetryFor,
		onRetry: cfg.OnRetry, sleep: loop.Sleep,
	}
	if c.retryFor == 0 {
		c.retryFor = DefaultRetryFor
	}
	if c.onRetry == nil {
		c.onRetry = func(error, time.Duration) {}
	}
	c.http = &http.Client{Transport: newTransport()}
	if cfg.HTTP != nil {
		copied := *cfg.HTTP
		c.http = &copied
	}
	c.http.CheckRedirect = redirects(c.http.CheckRedirect)
	return c, nil
}

// newTransport returns a transport that notices a server that went away; how
// long an answer may take is decided for each request.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	t.MaxIdleConnsPerHost = 16
	return t
}

// redirects follows redirects of reads only, and only within one scheme, host and
// port: net/http would send the token to any port of the host, and to http from
// https. A redirected POST would arrive as a GET, or with its body cut. What is not
// followed is an answer that is not Longshore's. others are the caller's own rules.
func redirects(others func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if via[0].Method != http.MethodGet || !sameOrigin(req.URL, via[0].URL) {
			return http.ErrUseLastResponse
		}
		if others != nil {
			return others(req, via)
		}
		if len(via) >= 5 {
			return fmt.Errorf("stopped after %d redirects", len(via))
		}
		return nil
	}
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// CloseIdleConnections closes the connections that no request uses.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// userAgent names us to servers, with the version of the module when built from one.
var userAgent = func() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = strings.Trim(info.Main.Version, "()")
	}
	return "longshore-go/" + version
}()
