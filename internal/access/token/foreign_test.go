package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"longshore/internal/access"
)

// An issuer signs tokens, and serves its keys.
type issuer struct {
	*httptest.Server
	testing.TB
	keys    map[string]crypto.Signer
	fetches atomic.Int64
	away    atomic.Bool
	extra   atomic.Value // a further member of the set, as JSON
}

func b64(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }

func startIssuer(t testing.TB) *issuer {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	i := &issuer{TB: t, keys: map[string]crypto.Signer{"rsa": rsaKey, "ec": ecKey, "ed": edKey, "p384": p384}}
	coordinates := func(k *ecdsa.PrivateKey) (x, y string) {
		point, err := k.PublicKey.Bytes() // 4, x, y
		if err != nil {
			t.Fatal(err)
		}
		half := len(point) / 2
		return base64.RawURLEncoding.EncodeToString(point[1 : 1+half]), base64.RawURLEncoding.EncodeToString(
			point[1+half:])
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.URL, i.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.fetches.Add(1)
		if i.away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		ecX, ecY := coordinates(ecKey)
		x384, y384 := coordinates(p384)
		set := fmt.Sprintf(
			`{"kty":"RSA","kid":"rsa","alg":"RS256","use":"sig","n":%q,"e":"AQAB"},{"kty":"EC","kid":"ec","crv":"P-256","x":%q,"y":%q},`+
				`{"kty":"OKP","kid":"ed","crv":"Ed25519","x":%q},{"kty":"EC","kid":"p384","crv":"P-384","x":%q,"y":%q}`,
			b64(rsaKey.N), ecX, ecY, base64.RawURLEncoding.EncodeToString(edKey.Public().(ed25519.PublicKey)),
			x384, y384)
		if extra, _ := i.extra.Load().(string); extra != "" {
			set += "," + extra
		}
		fmt.Fprintf(w, `{"keys":[%s]}`, set)
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) foreign(change func(*ForeignConfig)) *Foreign {
	c := ForeignConfig{Issuer: i.URL, Audience: []string{"shore"}, SubjectClaim: "sub", ScopeClaim: "scope",
		MaxLife: 24 * time.Hour, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	f := NewForeign(c)
	i.Cleanup(f.Close)
	return f
}

// sign makes a token of usual claims, changed.
func (i *issuer) sign(method jwt.SigningMethod, kid string,
	change func(claims jwt.MapClaims, header map[string]any)) string {
	i.Helper()
	now := time.Now()
	t := jwt.NewWithClaims(method, jwt.MapClaims{"iss": i.URL, "aud": "shore", "sub": "u-1",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"scope": "jobs:submit jobs:all jobs:read openid"})
	t.Header["kid"] = kid
	if change != nil {
		change(t.Claims.(jwt.MapClaims), t.Header)
	}
	var key any = i.keys[kid]
	if key == nil || key == (crypto.Signer)(nil) {
		key = i.keys["rsa"]
	}
	text, err := t.SignedString(key)
	if err != nil {
		i.Fatal(err)
	}
	return text
}

func TestForeignTokens(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	v := Verifier{Own: own(t, oneSecret), Foreign: i.foreign(nil)}
	claim := func(name string, value any) func(jwt.MapClaims, map[string]any) {
		return func(c jwt.MapClaims, _ map[string]any) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
	}
	head := func(name string, value any) func(jwt.MapClaims, map[string]any) {
		return func(_ jwt.MapClaims, h map[string]any) { h[name] = value }
	}
	ids := map[string]bool{}
	for name, text := range map[string]string{
		"RS256": i.sign(jwt.SigningMethodRS256, "rsa", nil), "ES256": i.sign(jwt.SigningMethodES256, "ec",
			nil), "EdDSA": i.sign(jwt.SigningMethodEdDSA, "ed", nil),
		"at+jwt":    i.sign(jwt.SigningMethodRS256, "rsa", head("typ", "at+jwt")),
		"audiences": i.sign(jwt.SigningMethodRS256, "rsa", claim("aud", []string{"x", "shore"})),
		"jku":       i.sign(jwt.SigningMethodRS256, "rsa", head("jku", "https://evil.example")),
		"leeway":    i.sign(jwt.SigningMethodRS256, "rsa", claim("exp", time.Now().Unix()-30)),
	} {
		who, err := v.Verify(t.Context(), text, 0)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if ids[who.ID] = true; who.Kind != access.KindForeign || who.Tenant != access.DefaultTenant ||
			!who.May(access.JobsRead, false) || who.May(access.Admin, false) {
			t.Errorf("%s: %+v", name, who)
		}
	}
	if len(ids) != 1 {
		t.Errorf("one subject is %v", ids)
	}
	hmac := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": i.URL, "aud": "shore", "sub": "x",
		"exp": time.Now().Add(time.Hour).Unix()})
	hmac.Header["kid"] = "rsa"
	confused, _ := hmac.SignedString(i.keys["rsa"].Public().(*rsa.PublicKey).N.Bytes())
	good := i.sign(jwt.SigningMethodRS256, "rsa", nil)
	for name, text := range map[string]string{
		"HS256 with the public key": confused, "signature cut": good[:len(good)-4],
		"another key": i.sign(jwt.SigningMethodRS256, "ec2", nil), "PS256": i.sign(jwt.SigningMethodPS256,
			"rsa", nil), "ES384": i.sign(jwt.SigningMethodES384, "p384", nil),
		"issuer":          i.sign(jwt.SigningMethodRS256, "rsa", claim("iss", i.URL+"/")),
		"audience":        i.sign(jwt.SigningMethodRS256, "rsa", claim("aud", "other")),
		"no audience":     i.sign(jwt.SigningMethodRS256, "rsa", claim("aud", nil)),
		"no exp":          i.sign(jwt.SigningMethodRS256, "rsa", claim("exp", nil)),
		"exp text":        i.sign(jwt.SigningMethodRS256, "rsa", claim("exp", "9999999999")),
		"not before":      i.sign(jwt.SigningMethodRS256, "rsa", claim("nbf", time.Now().Unix()+90)),
		"of the future":   i.sign(jwt.SigningMethodRS256, "rsa", claim("iat", time.Now().Unix()+90)),
		"lives too long":  i.sign(jwt.SigningMethodRS256, "rsa", claim("exp", time.Now().Unix()+90_000)),
		"no subject":      i.sign(jwt.SigningMethodRS256, "rsa", claim("sub", nil)),
		"subject no text": i.sign(jwt.SigningMethodRS256, "rsa", claim("sub", 7)),
		"ID token's typ":  i.sign(jwt.SigningMethodRS256, "rsa", head("typ", "logout+jwt")),
		"crit":            i.sign(jwt.SigningMethodRS256, "rsa", head("crit", []string{"exp"})),
	} {
		if who, err := v.Verify(t.Context(), text, 0); !errors.Is(err, access.ErrUnknown) || who != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := v.Verify(t.Context(), i.sign(jwt.SigningMethodRS256, "rsa",
		claim("exp", time.Now().Unix()-61)), 0); !errors.Is(err, access.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}

// TestForeignScopes maps what the issuer says.
func TestForeignScopes(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	for name, c := range map[string]struct {
		change func(*ForeignConfig)
		claims map[string]any
		want   string
	}{
		"our names": {nil, map[string]any{"scope": "jobs:submit jobs:read jobs:cancel numbers x"},
			"jobs:submit jobs:read jobs:cancel numbers"},
		"all jobs": {nil, map[string]any{"scope": []string{"jobs:read", "jobs:all"}},
			"jobs:read jobs:all"},
		"functions": {nil, map[string]any{"scope": "functions:deploy"}, ""},
		"none":      {nil, map[string]any{"scope": 7}, ""},
		"mapped": {func(c *ForeignConfig) { c.Scopes = map[string]access.Scope{"r": access.Numbers} },
			map[string]any{"scope": "r admin"}, "numbers"},
		"by a pointer": {func(c *ForeignConfig) { c.ScopeClaim = "/realm/a~1b" },
			map[string]any{"realm": map[string]any{"a/b": []string{"numbers"}}}, "numbers"},
		"for all of it": {func(c *ForeignConfig) {
			c.Scopes = map[string]access.Scope{"*": access.JobsSubmit}
		}, nil, "jobs:submit"},
	} {
		text := i.sign(jwt.SigningMethodEdDSA, "ed", func(claims jwt.MapClaims, _ map[string]any) {
			delete(claims, "scope")
			for name, value := range c.claims {
				claims[name] = value
			}
		})
		who, err := (Verifier{Foreign: i.foreign(c.change)}).Verify(t.Context(), text, 0)
		if err != nil || who.Scopes.String() != c.want {
			t.Errorf("%s: %v, %v, want %s", name, who.Scopes, err, c.want)
		}
	}
}

// TestUnknownKids holds that a flood of tokens of keys that there aren't makes one fetch a
// minute, and slows nobody who has a good one.
func TestUnknownKids(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	v := Verifier{Foreign: i.foreign(nil)}
	good := i.sign(jwt.SigningMethodEdDSA, "ed", nil)
	begun := time.Now()
	for n := range 300 {
		bad := i.sign(jwt.SigningMethodEdDSA, "ed", func(_ jwt.MapClaims, h map[string]any) {
			h["kid"] = fmt.Sprint("kid-", n)
		})
		if _, err := v.Verify(t.Context(), bad, 0); !errors.Is(err, access.ErrUnknown) {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), good, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := i.fetches.Load(); n > 2+int64(time.Since(begun)/time.Minute) {
		t.Errorf("%d fetches", n)
	}
}

// TestIssuerAway holds that nobody is refused as unknown by an issuer that never answered, and
// that keys which are there go on.
func TestIssuerAway(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	good := i.sign(jwt.SigningMethodEdDSA, "ed", nil)
	known := i.foreign(nil)
	if _, err := (Verifier{Foreign: known}).Verify(t.Context(), good, 0); err != nil {
		t.Fatal(err)
	}
	i.away.Store(true)
	if _, err := (Verifier{Foreign: i.foreign(nil)}).Verify(t.Context(), good, 0); !errors.Is(err,
		access.ErrUnread) {
		t.Errorf("an issuer that never answered: %v", err)
	}
	if _, err := (Verifier{Foreign: known}).Verify(t.Context(), good, 0); err != nil {
		t.Errorf("keys that were there: %v", err)
	}
	known.mu.Lock()
	known.good = time.Now().Add(-25 * time.Hour)
	known.mu.Unlock()
	if _, err := (Verifier{Foreign: known}).Verify(t.Context(), good, 0); !errors.Is(err, access.ErrUnread) {
		t.Errorf("keys of yesterday: %v", err)
	}
}

// TestKeySetIsBounded refuses a set that is too large, one at another place, and an address
// that isn't https.
func TestKeySetIsBounded(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	good := i.sign(jwt.SigningMethodEdDSA, "ed", nil)
	text, _ := json.Marshal(map[string]string{"kty": "oct", "kid": "x", "k": strings.Repeat("A", maxFetch)})
	i.extra.Store(string(text))
	if _, err := (Verifier{Foreign: i.foreign(nil)}).Verify(t.Context(), good, 0); !errors.Is(err,
		access.ErrUnread) {
		t.Errorf("a large set: %v", err)
	}
	i.extra.Store("")
	moved := httptest.NewServer(http.RedirectHandler(i.URL+"/keys", http.StatusFound))
	defer moved.Close()
	f := i.foreign(func(c *ForeignConfig) { c.JWKS = moved.URL })
	if _, err := (Verifier{Foreign: f}).Verify(t.Context(), good, 0); !errors.Is(err, access.ErrUnread) {
		t.Errorf("a redirect: %v", err)
	}
	for address, want := range map[string]bool{"https://a.example/k": true, "http://127.0.0.1:1/k": true,
		"http://a.example/k": false, "file:///k": false, "https://u:p@a.example": false} {
		if SafeURL(address) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
}

// TestForeignTenants has a claim say whose jobs a token is for; without it the token is nobody's.
func TestForeignTenants(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	for name, c := range map[string]struct {
		tenant any
		want   string
		err    error
	}{
		"named": {"acme", "acme", nil}, "none": {nil, "", access.ErrNoTenant},
		"the installation": {"*", "", access.ErrNoTenant}, "no name": {"a b", "", access.ErrNoTenant},
		"empty": {"", "", access.ErrNoTenant}, "a list": {[]string{"acme"}, "", access.ErrNoTenant},
	} {
		text := i.sign(jwt.SigningMethodEdDSA, "ed", func(claims jwt.MapClaims, _ map[string]any) {
			claims["org"] = map[string]any{"id": c.tenant}
			claims["scope"] = "jobs:read"
		})
		v := Verifier{Foreign: i.foreign(func(f *ForeignConfig) { f.TenantClaim = "/org/id" })}
		who, err := v.Verify(t.Context(), text, 0)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
			continue
		}
		if err == nil && (who.Tenant != c.want || who.View().Tenant != c.want || who.View().Subject == "") {
			t.Errorf("%s: tenant %q, sees %+v", name, who.Tenant, who.View())
		}
	}
}
