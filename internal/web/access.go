package web

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"longshore/internal/httpapi"
)

// admit applies a route's rules.
func (s *Server) admit(rt *route, a *answer, r *http.Request) error {
	if rt.access != public {
		if err := s.checkAccess(rt, a, r); err != nil {
			return err
		}
	}
	if err := checkCoding(a, r); err != nil {
		return err
	}
	if rt.json {
		return checkJSONBody(a, r)
	}
	return nil
}

func (s *Server) checkAccess(rt *route, a *answer, r *http.Request) error {
	if s.Token == "" {
		if !r.ProtoAtLeast(1, 1) { // nginx says nothing else of itself where it isn't told to
			return httpapi.NewError(httpapi.Forbidden, "HTTP/1.0 is how some proxies pass requests on; "+needsToken)
		}
		return nil
	}
	credentials := r.Header.Get("Authorization")
	if s.token.Fits(credentials) {
		return nil
	}
	if rt.access == socketOnly {
		offered := protocolToken(r)
		if s.token.Fits(offered) {
			return nil
		}
		credentials += offered
	}
	a.Header().Set("WWW-Authenticate", `Bearer realm="longshore"`)
	if credentials != "" {
		if wait := s.noteFailure(rt, a, r); wait > 0 {
			e := httpapi.NewError(httpapi.RateLimited, "the token is wrong, as others were that came from this address")
			e.RetryAfter = wait
			return e
		}
	}
	return httpapi.NewError(httpapi.Unauthorized, "expected the installation's token as Authorization: Bearer")
}

// noteFailure counts a wrong token, and logs the event: the address, never what
// was sent. It returns how long the address should wait, 0 = it may try again.
func (s *Server) noteFailure(rt *route, a *answer, r *http.Request) time.Duration {
	f := s.failures.Note(household(a.client), time.Now())
	if f.Tell > 0 {
		s.Log.LogAttrs(r.Context(), slog.LevelWarn, "authentication failed", slog.String("client", addressText(a.client)),
			slog.String("method", r.Method), slog.String("route", rt.op.Path), slog.Int("count", f.Tell))
	}
	return f.Wait
}

const needsToken = "requests that come through a proxy are served only with LONGSHORE_TOKEN set"

// checkNear refuses what does not come from this machine's own user. Without a
// token the loopback address is the fence. A page whose host name was made to point
// there would be inside it, but for its Host header; and the whole world, through
// a proxy on this machine.
func checkNear(r *http.Request) error {
	if !loopback(r.Host) {
		return httpapi.NewError(httpapi.Forbidden, "without LONGSHORE_TOKEN only requests to a loopback host are served")
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
		"Cf-Connecting-Ip", "Fastly-Client-Ip", "Fly-Client-Ip", "X-Azure-Clientip", "X-Envoy-External-Address", "X-Request-Start":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded") || strings.HasPrefix(name, "X-Original-F") || strings.HasPrefix(name, "X-Proxyuser")
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
