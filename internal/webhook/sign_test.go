package webhook

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secretA = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secretB = "whsec_c2l4dHktZm91ciBieXRlcyBhcmUgdGhlIG1vc3QgdGhhdCBhIHNlY3JldCBtYXkgaGF2ZS4gLg=="
)

// TestSign holds the example that the libraries of Standard Webhooks test with.
func TestSign(t *testing.T) {
	t.Parallel()
	s, err := newSigner([]string{secretA})
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	s.sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got, want := h.Get("webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
	if h.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("headers %v", h)
	}
}

func TestTwoSecretsSignBoth(t *testing.T) {
	t.Parallel()
	var parts []string
	for _, secrets := range [][]string{{secretA, secretB}, {secretA}, {secretB}} {
		s, err := newSigner(secrets)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		s.sign(h, "id", time.Unix(1, 0), nil)
		parts = append(parts, h.Get("webhook-signature"))
	}
	if parts[0] != parts[1]+" "+parts[2] {
		t.Errorf("both sign %q, alone %q", parts[0], parts[1:])
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	encode := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for secret, good := range map[string]bool{
		encode(24): true, encode(64): true, encode(23): false, encode(65): false, "": false,
		strings.TrimPrefix(secretA, "whsec_"): false, secretA + "!": false,
	} {
		_, err := newSigner([]string{secret})
		if (err == nil) != good {
			t.Errorf("%q: %v", secret, err)
		}
		if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	if _, err := newSigner([]string{secretA, secretA, secretB}); err == nil {
		t.Error("three secrets are fine")
	}
	if _, err := NewSender(nil, nil); err == nil {
		t.Error("no secret is fine")
	}
}
