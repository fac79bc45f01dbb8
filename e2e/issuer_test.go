//go:build linux

package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestIssuer works with a JWT of another issuer, whose keys a web process finds by discovery,
// and whose scopes it maps.
func TestIssuer(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	issuer := httptest.NewServer(mux)
	defer issuer.Close()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer.URL, issuer.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":%q}]}`,
			base64.RawURLEncoding.EncodeToString(public))
	})
	sign := func(audience, scope string) string {
		c := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"iss": issuer.URL, "aud": audience,
			"sub": "service", "scope": scope,
			"exp": time.Now().Add(time.Minute).Unix()})
		c.Header["kid"] = "one"
		text, err := c.SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	in := install(t, "LONGSHORE_TOKEN="+webToken, "JWT_ISSUER="+issuer.URL, "JWT_AUDIENCE=shore",
		"JWT_SCOPES=worker=jobs:submit jobs:read jobs:all;guest=jobs:submit jobs:read")
	web, url := in.web(t)
	in.worker(t)
	enqueue := func(want int, token string, args ...string) string {
		t.Helper()
		code, stdout, stderr := call(t, "", []string{"LONGSHORE_URL=" + url, "LONGSHORE_TOKEN=" + token},
			"enqueue", args...)
		if code != want {
			t.Errorf("enqueue %q: exit %d, want %d: %s", args, code, want, stderr)
		}
		return stdout
	}
	full := sign("shore", "worker openid")
	enqueue(0, full, "submit", "math.primes", "--set", "n=10", "--wait")
	enqueue(0, full, "ls")
	enqueue(1, full, "queues")
	guest := sign("shore", "guest")
	enqueue(0, guest, "submit", "math.primes", "--set", "n=10")
	if guests := enqueue(0, guest, "ls"); strings.Count(guests, "math.primes") != 2 {
		t.Errorf("the subject's own jobs: %s", guests)
	}
	enqueue(78, sign("elsewhere", "worker"), "ls")
	if lines := web.said(strings.Split(full, ".")[2]); lines != nil {
		t.Errorf("a token is in the log: %q", lines)
	}
}
