package people

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestWhatIssuersSay holds when an address counts as the person's, and when its domain does: nothing but true
// says that it was verified, and two issuers say more by claims of their own.
func TestWhatIssuersSay(t *testing.T) {
	t.Parallel()
	const google, entra, other = "accounts.google.com", "login.microsoftonline.com", "login.example.com"
	for _, c := range []struct {
		host, claims     string
		verified, hosted bool
	}{
		{other, `{"email_verified":true}`, true, true},
		{other, `{}`, false, true}, {other, `{"email_verified":false}`, false, true},
		{other, `{"email_verified":"true"}`, false, true}, {other, `{"email_verified":1}`, false, true},
		{other, `{"xms_edov":true}`, false, true},
		{google, `{"email_verified":true,"hd":"example.com"}`, true, true},
		{google, `{"email_verified":true,"hd":"Example.com"}`, true, true},
		{google, `{"email_verified":true}`, true, false}, // a consumer's account
		{google, `{"email_verified":true,"hd":"evil.example"}`, true, false},
		{entra, `{"email_verified":true}`, false, true}, // whoever runs a directory wrote it
		{entra, `{}`, false, true}, {entra, `{"xms_edov":false}`, false, true},
		{entra, `{"xms_edov":"0"}`, false, true},
		{entra, `{"xms_edov":true}`, true, true}, {entra, `{"xms_edov":"1"}`, true, true},
		{entra, `{"xms_edov":1}`, true, true}, {"x.ciamlogin.com", `{"email_verified":true}`, false, true},
	} {
		var said claims
		if err := json.Unmarshal([]byte(c.claims), &said); err != nil {
			t.Fatal(err)
		}
		if v, h := said.verified(c.host), said.hosted(c.host, "example.com"); v != c.verified || h != c.hosted {
			t.Errorf("%s of %s: verified %v, hosted %v", c.claims, c.host, v, h)
		}
	}
	for text, want := range map[string]int64{`{}`: 0, `{"auth_time":1700000000}`: 1700000000,
		`{"auth_time":-1}`: 0} {
		var said claims
		if err := json.Unmarshal([]byte(text), &said); err != nil {
			t.Fatal(err)
		}
		if at := said.at(); at.IsZero() != (want == 0) || want != 0 && at.Unix() != want {
			t.Errorf("%s: %v", text, at)
		}
	}
}

// TestIssuerHangs holds that who waits for an issuer holds up nobody: one asks, each leaves when it likes,
// and one that was away is asked again.
func TestIssuerHangs(t *testing.T) {
	t.Parallel()
	asked, hang := make(chan struct{}, 10), make(chan struct{})
	var i *issuer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-hang:
		case <-r.Context().Done():
			return
		}
		_, _ = w.Write([]byte(`{"issuer":"` + i.URL + `","authorization_endpoint":"x","token_endpoint":"x",` +
			`"jwks_uri":"x"}`))
	}))
	defer server.Close()
	i = newIssuer(IssuerConfig{URL: server.URL})
	waits := make(chan error, 1)
	go func() {
		_, err := i.find(t.Context())
		waits <- err
	}()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := i.find(ctx); !errors.Is(err, context.DeadlineExceeded) ||
		time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	close(hang)
	if err := <-waits; err != nil || len(asked) != 0 {
		t.Errorf("%v, asked %d times more", err, len(asked))
	}
	away := newIssuer(IssuerConfig{URL: "http://127.0.0.1:1"})
	if _, err := away.find(t.Context()); !errors.Is(err, ErrIssuerAway) {
		t.Error(err)
	}
	first := away.tried
	if _, err := away.find(t.Context()); !errors.Is(err, ErrIssuerAway) || away.tried != first {
		t.Errorf("asked again at once: %v", err)
	}
	away.tried = first.Add(-issuerAgain)
	if _, err := away.find(t.Context()); !errors.Is(err, ErrIssuerAway) || !away.tried.After(first) {
		t.Errorf("not asked again: %v", err)
	}
}
