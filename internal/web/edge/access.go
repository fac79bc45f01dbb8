package edge

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"longshore/internal/auth"
	"longshore/internal/httpapi"
)

// A guard knows who may use the routes that are not public.
type guard struct {
	open     bool // there is no token: who is near may
	token    auth.Token
	failures auth.Failures // wrong tokens
	log      *slog.Logger
}

func newGuard(token string, log *slog.Logger) *guard {
	return &guard{open: token == "", token: auth.NewToken(token), log: log}
}

// check refuses who may not use a route.
func (g *guard) check(rt *Route, a *Answer, r *http.Request) error {
	if g.open {
		if !r.ProtoAtLeast(1, 1) { // nginx says nothing else of itself where it isn't told to
			return httpapi.NewError(httpapi.Forbidden, "HTTP/1.0 is how some proxies pass requests on; "+needsToken)
		}
		return nil
	}
	credentials := r.Header.Get("Authorization")
	if g.token.Fits(credentials) {
		return nil
	}
	if rt.Access == Socket {
		offered := protocolToken(r)
		if g.token.Fits(offered) {
			return nil
		}
		credentials += offered
	}
	a.Header().Set("WWW-Authenticate", `Bearer realm="longshore"`)
	if credentials != "" {
		if wait := g.noteFailure(rt, a, r); wait > 0 {
			return httpapi.NewError(httpapi.RateLimited,
				"the token is wrong, as others were that came from this address").
				WithRetryAfter(wait)
		}
	}
	return httpapi.NewError(httpapi.Unauthorized, "expected the installation's token as Authorization: Bearer")
}

// noteFailure counts a wrong token, and logs the event: the address, never what
// was sent. It returns how long the address should wait, 0 = it may try again.
func (g *guard) noteFailure(rt *Route, a *Answer, r *http.Request) time.Duration {
	f := g.failures.Note(clientPrefix(a.Client), time.Now())
	if f.Tell > 0 {
		g.log.LogAttrs(r.Context(), slog.LevelWarn, "authentication failed",
			slog.String("client", addressText(a.Client)), slog.String("method", r.Method),
			slog.String("route", rt.Op.Path), slog.Int("count", f.Tell))
	}
	return f.Wait
}

// tokenProtocol begins a subprotocol that is none: it carries the bearer token in
// base64url without padding, for scripts in browsers, which can set no header. A token
// in the address would end up in logs. It is never chosen, so never sent back.
const tokenProtocol = "longshore.bearer."

// protocolToken returns the token that a client offers as a subprotocol, in the
// form of the header Authorization; "" if there is none.
func protocolToken(r *http.Request) string {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if coded, ok := strings.CutPrefix(strings.TrimSpace(name), tokenProtocol); ok {
				if token, err := base64.RawURLEncoding.DecodeString(coded); err == nil {
					return "Bearer " + string(token)
				}
			}
		}
	}
	return ""
}

const needsToken = "requests that come through a proxy are served only with LONGSHORE_TOKEN set"

// checkNear refuses what does not come from this machine's own user. Without a
// token the loopback address is the fence. A page whose host name was made to point
// there would be inside it, but for its Host header; and the whole world, through
// a proxy on this machine.
func (g *guard) checkNear(r *http.Request) error {
	if !g.open {
		return nil
	}
	if !loopback(r.Host) {
		return httpapi.NewError(httpapi.Forbidden,
			"without LONGSHORE_TOKEN only requests to a loopback host are served")
	}
	for name := range r.Header {
		if proxied(name) {
			return httpapi.NewError(httpapi.Forbidden, fmt.Sprintf("%s: %s", name, needsToken))
		}
	}
	return nil
}

// proxied reports whether a header's name, in canonical form, is one that proxies add.
func proxied(name string) bool {
	switch name {
	case "Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cdn-Loop",
		"Cf-Connecting-Ip", "Fastly-Client-Ip", "Fly-Client-Ip", "X-Azure-Clientip", "X-Envoy-External-Address",
		"X-Request-Start":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded") || strings.HasPrefix(name, "X-Original-F") ||
		strings.HasPrefix(name, "X-Proxyuser")
}

// loopback reports whether a Host is this machine by any name that means itself.
func loopback(host string) bool {
	host, _ = splitHost(host)
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// splitHost returns what a Host header names, in lower case, without brackets and the
// dot that may end a name, and its port.
func splitHost(text string) (host, port string) {
	host = text
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	}
	host = strings.TrimPrefix(strings.TrimSuffix(host, "]"), "[")
	return strings.ToLower(strings.TrimSuffix(host, ".")), port
}
