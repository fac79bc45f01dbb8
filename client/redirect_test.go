package client

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"longshore/internal/httpapi"
	"longshore/job"
)

// A redirect to another port of the same host gets no token, and no request at all.
func TestRedirectsElsewhere(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		reply(w, 200, job.Snapshot{ID: testID, Rev: 1})
	}))
	t.Cleanup(elsewhere.Close)
	for _, own := range []*http.Client{nil, {},
		{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path+"?secret=1", http.StatusFound)
		}))
		t.Cleanup(srv.Close)
		c, err := New(Config{URL: srv.URL, Token: "secret", HTTP: own})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Get(t.Context(), testID)
		if !foreign(err) || !strings.Contains(err.Error(), elsewhere.URL) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("err = %v, want it to say where it is redirected", err)
		}
		c.CloseIdleConnections()
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("%d requests went there", n)
	}
}

// Within one place reads are followed, with the token, and not for ever.
func TestRedirectsWithin(t *testing.T) {
	t.Parallel()
	moved := "/moved" + httpapi.JobPath(testID)
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case moved:
			if r.Header.Get("Authorization") != "Bearer secret" {
				t.Error("no token")
			}
			reply(w, 200, job.Snapshot{ID: testID, Rev: 7})
		case httpapi.JobPath(testID):
			http.Redirect(w, r, moved, http.StatusTemporaryRedirect)
		default:
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}
	})
	if snap, err := c.Get(t.Context(), testID); err != nil || snap.Rev != 7 {
		t.Errorf("%+v, %v", snap, err)
	}
	c.retryFor = -1
	if _, err := c.Types(t.Context()); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("a circle: %v", err)
	}
}

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"https://h/a", "https://h/b", true},
		{"https://h/a", "https://H:443/b", true},
		{"http://h:80", "http://h", true},
		{"https://h", "http://h", false},
		{"http://h", "https://h", false},
		{"http://h:1", "http://h:2", false},
		{"http://h", "http://h:8080", false},
		{"http://h", "http://www.h", false},
		{"http://h:443", "https://h", false},
		{"http://[::1]:80", "http://[::1]", true},
	} {
		a, _ := url.Parse(c.a)
		b, _ := url.Parse(c.b)
		if got := sameOrigin(a, b); got != c.same {
			t.Errorf("%s, %s: %v", c.a, c.b, got)
		}
	}
}
