package webhook

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"longshore/internal/receiver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secretA = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secretB = "whsec_c2l4dHktZm91ciBieXRlcyBhcmUgdGhlIG1vc3QgdGhhdCBhIHNlY3JldCBtYXkgaGF2ZS4gLg=="
)

// TestSign holds the example that the libraries of Standard Webhooks test with.
func TestSign(t *testing.T) {
	t.Parallel()
	s, err := newSigner([]string{secretA}, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	s.sign(h, &url.URL{}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0),
		[]byte(`{"test": 2432232314}`))
	if got, want := h.Get("webhook-signature"),
		"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
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
		s, err := newSigner(secrets, nil)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		s.sign(h, &url.URL{}, "id", time.Unix(1, 0), nil)
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
		_, err := newSigner([]string{secret}, nil)
		if (err == nil) != good {
			t.Errorf("%q: %v", secret, err)
		}
		if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	if _, err := newSigner([]string{secretA, secretA, secretB}, nil); err == nil {
		t.Error("three secrets are fine")
	}
	if _, err := NewSender(Config{}); err == nil {
		t.Error("no secret is fine")
	}
}

// verify is the receiver's side, as docs/webhooks.md shows it.
func verify(key ed25519.PublicKey, h http.Header, body []byte) bool {
	sent, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		return false
	}
	message := []byte(h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + "." + string(body))
	for signature := range strings.FieldsSeq(h.Get("webhook-signature")) {
		text, ok := strings.CutPrefix(signature, "v1a,")
		raw, err := base64.StdEncoding.DecodeString(text)
		if ok && err == nil && ed25519.Verify(key, message, raw) {
			return true
		}
	}
	return false
}

// TestReceiversOwnSecrets posts to two receivers with two keys and a secret of all:
// each verifies what is its own, either way, and nothing that is another one's.
func TestReceiversOwnSecrets(t *testing.T) {
	t.Parallel()
	keyA, keyB := strings.Repeat("a", 32), strings.Repeat("b", 40)
	body := []byte(`{"n":1}`)
	s, err := newSigner([]string{secretA}, []string{keyA, keyB})
	if err != nil {
		t.Fatal(err)
	}
	to, _ := url.Parse("https://App.example.com:443/hook?x=1")
	other, _ := url.Parse("https://other.example.com/hook")
	h := http.Header{}
	s.sign(h, to, "id-1", time.Now(), body)
	parts := strings.Fields(h.Get("webhook-signature"))
	if len(parts) != 5 || !strings.HasPrefix(parts[0], "v1,") {
		t.Fatalf("signatures %v", parts)
	}
	for _, key := range []string{keyA, keyB} {
		c, err1 := receiver.Derive(key, receiver.Receiver{Origin: receiver.OriginOf(to)})
		foreign, err2 := receiver.Derive(key, receiver.Receiver{Origin: receiver.OriginOf(other)})
		next, err3 := receiver.Derive(key, receiver.Receiver{Origin: receiver.OriginOf(to), Number: 2})
		tenant, err4 := receiver.Derive(key, receiver.Receiver{Origin: receiver.OriginOf(to), Tenant: "acme"})
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		if !verify(c.PublicKey, h, body) || verify(c.PublicKey, h, []byte(`{"n":2}`)) {
			t.Error("the receiver can't verify by v1a, or verifies anything")
		}
		own, err := newSigner([]string{c.SecretText()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		again := http.Header{}
		sent, _ := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
		own.sign(again, to, "id-1", time.Unix(sent, 0), body)
		if !slices.Contains(parts, again.Get("webhook-signature")) {
			t.Error("the receiver can't verify by v1")
		}
		for _, c2 := range []receiver.Credentials{foreign, next, tenant} {
			if verify(c2.PublicKey, h, body) || c2.SecretText() == c.SecretText() {
				t.Error("another receiver's key verifies")
			}
		}
	}
}
