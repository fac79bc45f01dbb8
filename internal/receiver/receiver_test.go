package receiver

import (
	"net/url"
	"strings"
	"testing"
)

// TestDeriveStays holds what receivers were given: nothing may change it.
func TestDeriveStays(t *testing.T) {
	t.Parallel()
	c, err := Derive(strings.Repeat("k", 32), Receiver{Origin: "https://app.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.SecretText()+" "+c.PublicKeyText(),
		"whsec_RxYG3YgylqRM5z+ACGQqAN5PKbEtd3ZF750mudEHegA= whpk_2kety5ZnPtUGIfoDoUm/5mQcwrsNjKeGhIuusGLbelk="; got != want {
		t.Errorf("derived %s", got)
	}
	if _, err := Derive("short", Receiver{}); err == nil {
		t.Error("a short key is fine")
	}
}

func TestOriginOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://A.Example.com/x?y":      "https://a.example.com",
		"https://a.example.com.:443":     "https://a.example.com",
		"http://a.example.com:443":       "http://a.example.com:443",
		"http://a.example.com:080/":      "http://a.example.com",
		"https://[::FFFF:1.2.3.4]:8443/": "https://1.2.3.4:8443",
		"https://[2001:DB8::1]/":         "https://[2001:db8::1]",
		"https://Bücher.example/":        "https://xn--bcher-kva.example",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := OriginOf(u); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
