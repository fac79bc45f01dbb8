package web_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"longshore/internal/httpapi"
	"longshore/internal/web"
)

func TestAccess(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Token = "sesame" })
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json"} {
		if r := b.do("GET", path, ""); r.status != 200 {
			t.Errorf("%s without token: %d", path, r.status)
		}
	}
	for _, auth := range []string{"", "Bearer", "Bearer wrong", "Basic sesame", "sesame", "Bearer sesame2"} {
		r := b.do("GET", "/v1/jobs", "", "Authorization", auth)
		r.problem(401, httpapi.Unauthorized)
		if r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q: no WWW-Authenticate", auth)
		}
	}
	for _, c := range [][2]string{
		{"POST", "/v1/jobs"}, {"POST", "/v1/jobs/log.analyze"}, {"GET", "/v1/jobs/x"},
		{"DELETE", "/v1/jobs/x"}, {"POST", "/v1/jobs/x/cancel"}, {"POST", "/v1/jobs/x/retry"},
		{"GET", "/v1/jobs/x/result"}, {"GET", "/v1/jobs/x/outputs/y"}, {"GET", "/v1/types"},
		{"GET", "/v1/queues"},
	} {
		b.do(c[0], c[1], "").problem(401, httpapi.Unauthorized)
	}
	for _, auth := range []string{"Bearer sesame", "bearer sesame"} {
		if r := b.do("GET", "/v1/jobs", "", "Authorization", auth); r.status != 200 {
			t.Errorf("%q: %d", auth, r.status)
		}
	}
	if r := b.do("GET", "/v1/jobs", "", "Authorization", "Bearer sesame", "Host",
		"jobs.example.com"); r.status != 200 {
		t.Errorf("with token, any host: %d", r.status)
	}
	if strings.Contains(b.log.String(), "sesame") {
		t.Error("the token is in the log")
	}
}

func TestLoopbackHostWithoutToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "127.0.0.1:1": 200, "[::1]:8080": 200, "[::1]": 200,
		"app.localhost": 200, "LOCALHOST": 200, "LocalHost:8080": 200, "localhost.": 200,
		"localhost.:8080": 200, "App.LocalHost.": 200, "evil.example.com": 403, "10.0.0.1:8080": 403,
		"localhost.evil.com": 403, "localhost..": 403, "notlocalhost": 403, "evil.com.": 403,
	} {
		if r := b.do("GET", "/v1/jobs", "", "Host", host); r.status != status {
			t.Errorf("%s: %d, want %d", host, r.status, status)
		}
	}
}

// What came through a proxy may come from anywhere, whatever Host the proxy sends.
func TestProxyWithoutToken(t *testing.T) {
	t.Parallel()
	open, closed := setup(t), setup(t, behindProxy)
	for _, name := range []string{
		"X-Forwarded-For", "x-forwarded-host", "X-FORWARDED-PROTO", "X-Forwarded-Port", "X-Forwarded-Server",
		"X-Forwarded", "Forwarded", "Via", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP",
		"X-Original-Forwarded-For", "X-Envoy-External-Address",
	} {
		for _, path := range []string{"/v1/jobs", "/v1/socket", "/v1/events?id=x", "/v1/types",
			"/openapi.json"} {
			r := open.do("GET", path, "", name, "192.0.2.1")
			r.problem(403, httpapi.Forbidden)
			if !strings.Contains(r.body, "LONGSHORE_TOKEN") {
				t.Errorf("%s: the refusal doesn't say what to do: %s", name, r.body)
			}
		}
		open.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":1}}`, name, "").
			problem(403, httpapi.Forbidden)
		if r := closed.do("GET", "/v1/jobs", "", name, "192.0.2.1"); r.status != 200 {
			t.Errorf("%s, with the token: %d %s", name, r.status, r.body)
		}
	}
	for b, status := range map[*bench]string{open: "403", closed: "200"} { // as nginx asks by itself
		conn := b.dial(
			"GET /v1/jobs HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\nAuthorization: Bearer " +
				proxyToken + "\r\n\r\n")
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil ||
			!strings.Contains(line, " "+status+" ") {
			t.Errorf("HTTP/1.0: %q, %v, want %s", line, err, status)
		}
	}
	conn := open.dial("GET /healthz HTTP/1.0\r\n\r\n") // a balancer's probe
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
		t.Errorf("a probe: %q, %v", line, err)
	}
}

// Guesses are slowed by address and logged once; who has the token is let in all
// the same.
func TestWrongTokens(t *testing.T) {
	t.Parallel()
	b := setup(t, behindProxy)
	ask := func(from, token string) reply {
		t.Helper()
		return b.do("GET", "/v1/types", "", "X-Forwarded-For", from, "Authorization", "Bearer "+token)
	}
	guess := func(from string) (statuses map[int]int) {
		statuses = map[int]int{}
		for i := range 50 {
			r := ask(from, fmt.Sprintf("guess-%d", i))
			statuses[r.status]++
			if r.status == 429 {
				r.problem(429, httpapi.RateLimited)
				if after := r.header.Get("Retry-After"); after == "" || after == "0" {
					t.Fatalf("Retry-After %q", after)
				}
			}
		}
		return statuses
	}
	if got := guess("192.0.2.1"); got[401] < 20 || got[401] > 40 || got[401]+got[429] != 50 {
		t.Errorf("50 guesses: %v", got)
	}
	if r := ask("192.0.2.1", proxyToken); r.status != 200 {
		t.Errorf("the right token from the same address: %d %s", r.status, r.body)
	}
	if r := ask("192.0.2.2", "guess"); r.status != 401 {
		t.Errorf("another address: %d", r.status)
	}
	if r := b.do("GET", "/v1/types", "", "X-Forwarded-For", "192.0.2.1", "Authorization",
		""); r.status != 401 {
		t.Errorf("no token is no guess: %d", r.status)
	}
	guess("2001:db8::1")
	if r := ask("2001:db8::2", "guess"); r.status != 429 {
		t.Errorf("the same network of IPv6: %d", r.status)
	}
	// A socket's other way to send a token is a way to guess, too.
	url := strings.Replace(b.url, "http", "ws", 1) + httpapi.PathSocket
	_, resp, err := websocket.Dial(t.Context(), url,
		&websocket.DialOptions{Subprotocols: []string{"longshore.v1", "longshore.bearer.Z3Vlc3M"},
			HTTPHeader: http.Header{"X-Forwarded-For": {"192.0.2.1"}}})
	if err == nil || resp.StatusCode != 429 {
		t.Errorf("by subprotocol: %v", err)
	}
	log := b.log.String()
	if n := strings.Count(log, `"msg":"authentication failed"`); n != 3 ||
		!strings.Contains(log, `"level":"WARN"`) {
		t.Errorf("%d events, want one for each address", n)
	}
	if strings.Contains(log, "guess") || strings.Contains(log, proxyToken) {
		t.Error("a token is in the log")
	}
}

// What browsers are told about each answer.
func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	b, plain := setup(t, func(c *web.Config) { c.HSTS = 365 * 24 * time.Hour }), setup(t)
	for _, path := range []string{"/v1/jobs", "/v1/nothing", "/healthz", "/openapi.json",
		"/v1/jobs?limit=x"} {
		r := b.do("GET", path, "")
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":           "no-referrer",
			"Content-Security-Policy":   "default-src 'none'; frame-ancestors 'none'",
			"Strict-Transport-Security": "max-age=31536000",
		} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%s: %s %q, want %q", path, name, got, want)
			}
		}
		if got := plain.do("GET", path, "").header.Values("Strict-Transport-Security"); got != nil {
			t.Errorf("%s: HSTS that nobody asked for: %q", path, got)
		}
	}
}
