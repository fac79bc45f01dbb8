package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/localredis/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const oneSecret, otherSecret = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"

func own(t testing.TB, secrets ...string) *Own {
	t.Helper()
	o, err := NewOwn("test", secrets, nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func page() *access.Principal {
	until := time.Now().Add(time.Minute).Truncate(time.Second)
	submit := &access.Submit{Job: "j", Until: until, Types: []string{"a.*"}, MaxBytes: 7,
		Payload: []byte(`{"n":1}`), With: map[string]string{"priority": "low"}}
	return &access.Principal{Kind: access.KindToken, ID: "root.0123456789AB", Tenant: "default",
		Scopes: access.JobsRead | access.JobsSubmit, Types: submit.Types, Expires: until,
		Rate:  access.Rate{N: 1, Per: time.Second, Burst: 2},
		Grant: &access.Grant{Maker: "root", Origin: "https://a.example", Jobs: []string{"x"}, Submit: submit}}
}

func mint(t testing.TB, o *Own, p *access.Principal) string {
	t.Helper()
	text, err := o.Mint(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOwnTokens(t *testing.T) {
	t.Parallel()
	p := page()
	text := mint(t, own(t, oneSecret), p)
	if !access.LooksLikeToken(text) {
		t.Errorf("%s doesn't look like ours", text)
	}
	got, err := Verifier{Own: own(t, otherSecret, oneSecret)}.Verify(t.Context(), text, 0) // after a rotation
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got, cmpopts.IgnoreUnexported(access.Principal{})); diff != "" {
		t.Errorf("-made +read:\n%s", diff)
	}
	if _, err := (Verifier{Own: own(t, otherSecret)}).Verify(t.Context(), text, 0); !errors.Is(err,
		access.ErrUnknown) {
		t.Errorf("another secret: %v", err)
	}
	elsewhere, _ := NewOwn("elsewhere", []string{oneSecret}, nil)
	if _, err := (Verifier{Own: elsewhere}).Verify(t.Context(), text, 0); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("another installation: %v", err)
	}
	p.Grant.Submit.Payload = []byte(`{"x":"` + strings.Repeat("x", maxToken) + `"}`)
	if _, err := own(t, oneSecret).Mint(t.Context(), p); !errors.As(err, new(*access.InvalidError)) {
		t.Errorf("too long: %v", err)
	}
}

// TestExpiredIsToldToTheRight holds that only who has a rightly signed token learns that it has
// expired, and that what goes on late does so for a time.
func TestExpiredIsToldToTheRight(t *testing.T) {
	t.Parallel()
	p := page()
	p.Expires = time.Now().Add(-time.Minute)
	o := own(t, oneSecret)
	text := mint(t, o, p)
	for _, c := range []struct {
		text string
		late time.Duration
		want error
	}{
		{text, 0, access.ErrExpired}, {text, time.Second, access.ErrExpired}, {text, time.Hour, nil},
		{text[:len(text)-2] + "AA", 0, access.ErrUnknown},
	} {
		if _, err := (Verifier{Own: o}).Verify(t.Context(), c.text, c.late); !errors.Is(err, c.want) {
			t.Errorf("late %v: %v, want %v", c.late, err, c.want)
		}
	}
}

// TestStrictForm refuses texts that some reader of JWTs takes.
func TestStrictForm(t *testing.T) {
	t.Parallel()
	o := own(t, oneSecret)
	parts := strings.Split(mint(t, o, page()), ".")
	code := base64.RawURLEncoding.EncodeToString
	head := func(text string) string { return code([]byte(text)) + "." + parts[1] + "." + parts[2] }
	kid := o.signs
	for name, text := range map[string]string{
		"none":          code([]byte(`{"alg":"none","kid":"`+kid+`"}`)) + "." + parts[1] + ".",
		"none, signed":  head(`{"alg":"HS256","kid":"ls","alg":"none"}`),
		"other case":    head(`{"Alg":"HS256","kid":"` + kid + `","typ":"longshore+jwt"}`),
		"crit":          head(`{"alg":"HS256","crit":["exp"],"kid":"` + kid + `"}`),
		"zip":           head(`{"alg":"HS256","kid":"` + kid + `","zip":"DEF"}`),
		"CRIT":          head(`{"alg":"HS256","CRIT":["exp"]}`),
		"long kid":      head(`{"alg":"HS256","kid":"` + strings.Repeat("k", 129) + `"}`),
		"kid no text":   head(`{"alg":"HS256","kid":7}`),
		"behind":        head(`{"alg":"HS256"} {}`),
		"array":         head(`["HS256"]`),
		"padding":       parts[0] + "." + parts[1] + "." + parts[2] + "=",
		"line end":      parts[0] + "\n." + parts[1] + "." + parts[2],
		"four parts":    strings.Join(parts, ".") + ".x",
		"five parts":    strings.Join(parts, ".") + ".x.y", // JWE
		"no signature":  parts[0] + "." + parts[1] + ".",
		"claims twice":  parts[0] + "." + code([]byte(`{"exp":1,"exp":9999999999}`)) + "." + parts[2],
		"claims array":  parts[0] + "." + code([]byte(`[]`)) + "." + parts[2],
		"too long":      parts[0] + "." + strings.Repeat("A", maxToken) + "." + parts[2],
		"other's typ":   head(`{"alg":"HS256","kid":"` + kid + `","typ":"JWT"}`),
		"unused bits":   parts[0] + "." + parts[1] + "." + parts[2][:42] + string(parts[2][42]+1),
		"other payload": parts[0] + "." + code([]byte(`{"iss":"longshore"}`)) + "." + parts[2],
	} {
		if who, err := (Verifier{Own: o}).Verify(t.Context(), text, 0); !errors.Is(err, access.ErrUnknown) ||
			who != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeysInRedis signs by keys that all processes share, made at need, and reads tokens of a
// key that another process has just made.
func TestKeysInRedis(t *testing.T) {
	t.Parallel()
	s := store.New(redistest.Client(t), redistest.Prefix(t))
	one, _ := NewOwn("test", nil, s)
	other, _ := NewOwn("test", nil, s)
	if err := other.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.loaded = time.Now().Add(-2 * time.Second) // or it would not look again yet
	text, second := mint(t, one, page()), mint(t, one, page())
	for _, text := range []string{text, second} {
		if _, err := (Verifier{Own: other}).Verify(t.Context(), text, 0); err != nil {
			t.Errorf("at another process: %v", err)
		}
	}
	if keys, err := s.Signing(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// FuzzRead holds that what is read is three parts of strict base64url, and its header text.
func FuzzRead(f *testing.F) {
	o := own(f, oneSecret)
	text, err := o.Mint(f.Context(), page())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("e30.e30.e30")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := read(in)
		if err != nil {
			if !errors.Is(err, access.ErrUnknown) {
				t.Fatalf("%q: %v", in, err)
			}
			return
		}
		head, err := base64.RawURLEncoding.DecodeString(strings.Split(in, ".")[0])
		var fields map[string]any
		if err != nil || json.Unmarshal(head, &fields) != nil || fields["alg"] != got.alg ||
			strings.Count(in, ".") != 2 {
			t.Fatalf("%q is read as %+v", in, got.header)
		}
		if who, err := (Verifier{Own: o}).Verify(t.Context(), in, 0); err == nil && in != text {
			t.Fatalf("%q is taken for %+v", in, who)
		}
	})
}
