package submit

import (
	"strings"
	"testing"
)

func TestCheckCallback(t *testing.T) {
	t.Parallel()
	d := &Submitter{Config{Callbacks: true}}
	for text, good := range map[string]bool{
		"":                                true,
		"https://a.example":               true,
		"http://a.example:8080/x?token=y": true,
		"http://10.0.0.1/":                true, // whether it may be dialed is seen when it is
		"https://[2001:db8::1]:443/":      true,
		"HTTPS://bücher.example/":         true,
		"ftp://a.example/":                false,
		"//a.example/":                    false,
		"/hook":                           false,
		"https://":                        false,
		"https://:443/":                   false,
		"https:a.example":                 false,
		"https://user:hunter2@a.example/": false,
		"https://user@a.example/":         false,
		"https://a.example/#part":         false,
		"https://a.example/#":             false,
		"https://a.example:0/":            false,
		"https://a.example:65536/":        false,
		"https://a.example:x/":            false,
		"https://[fe80::1%25eth0]/":       false,
		"https://a b.example/":            false,
		"https://a.example/\r\nX: y":      false,
		"https://a.example/\x00":          false,
		"javascript:alert(1)":             false,
		"https://a.example/" + strings.Repeat("x", maxCallbackURL-18): true,
		"https://a.example/" + strings.Repeat("x", maxCallbackURL-17): false,
	} {
		why := d.checkCallback(text)
		if (why == "") != good {
			t.Errorf("%q: %q", text, why)
		}
		if strings.Contains(why, "hunter2") {
			t.Errorf("the answer tells the URL: %s", why)
		}
	}
	none := &Submitter{}
	if why := none.checkCallback("https://a.example/"); !strings.Contains(why, "CALLBACK_SECRETS") {
		t.Errorf("without a secret: %q", why)
	}
	if why := none.checkCallback(""); why != "" {
		t.Errorf("without a callback: %q", why)
	}
}

// TestCallbackIsPartOfTheRequest holds that one idempotency key doesn't stand
// for two callbacks.
func TestCallbackIsPartOfTheRequest(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, url := range []string{"", "https://a.example/", "https://b.example/"} {
		seen[digest(Request{Type: "x.y", CallbackURL: url}, []byte("{}"))] = true
	}
	if len(seen) != 3 {
		t.Errorf("%d digests of three requests", len(seen))
	}
}

func FuzzCheckCallback(f *testing.F) {
	for _, text := range []string{"https://a.example/", "http://[::1]:80/x?y#z", "https://u:p@h/",
		"http://a\x7f/"} {
		f.Add(text)
	}
	d := &Submitter{Config{Callbacks: true}}
	f.Fuzz(func(t *testing.T, text string) {
		if d.checkCallback(text) != "" || text == "" {
			return
		}
		if strings.ContainsAny(text, "\r\n\x00#") || len(text) > maxCallbackURL ||
			!strings.HasPrefix(strings.ToLower(text), "http") {
			t.Fatalf("%q is fine", text)
		}
	})
}
