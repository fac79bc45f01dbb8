package web_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestReleaseByLink opens a link as a scanner of mail does, which changes nothing, and presses its
// button, once and again.
func TestReleaseByLink(t *testing.T) {
	t.Parallel()
	b, g := gated(t)
	snap := newSnapshot(job.Awaiting, 1)
	snap.Hold = &job.Hold{Why: `is <b>it</b> right & "good"?`}
	other := snap
	other.ID = job.NewID(time.Now())
	b.put(snap)
	b.put(other)
	token := b.mint(g, &access.Principal{Scopes: access.JobsRelease,
		Grant: &access.Grant{Jobs: []string{string(snap.ID)}}})
	link := httpapi.ReleasePath(snap.ID) + "?access_token=" + token
	press := func(id job.ID, token string) reply {
		return b.do("POST", "/ui/release/"+string(id), url.Values{"access_token": {token}}.Encode(), "Content-Type",
			"application/x-www-form-urlencoded")
	}
	held := func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		now := b.jobs[snap.ID]
		return now.Held()
	}
	for range 2 {
		r := b.do("GET", link, "")
		if r.status != 200 || !strings.Contains(r.body, "is &lt;b&gt;it&lt;/b&gt; right &amp; &#34;good&#34;?") ||
			!strings.Contains(r.body, `name="access_token" value="`+token+`"`) ||
			!strings.Contains(r.body, `action="/ui/release/`+string(snap.ID)+`"`) {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if r.header.Get("Referrer-Policy") != "no-referrer" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers: %v", r.header)
		}
		if b.do("HEAD", link, ""); !held() {
			t.Fatal("a look has released it")
		}
	}
	for what, r := range map[string]reply{
		"another job's":   b.do("GET", httpapi.ReleasePath(other.ID)+"?access_token="+token, ""),
		"another job":     press(other.ID, token),
		"no token":        press(snap.ID, ""),
		"a wrong one":     press(snap.ID, token[:len(token)-3]+"abc"),
		"the root's":      press(snap.ID, rootToken),
		"two":             b.do("POST", "/ui/release/"+string(snap.ID), "access_token="+token+"&access_token="+token, "Content-Type", "application/x-www-form-urlencoded"),
		"in JSON":         b.do("POST", "/ui/release/"+string(snap.ID), `{"access_token":"`+token+`"}`, "Content-Type", "application/json"),
		"in the address":  b.do("POST", httpapi.ReleasePath(snap.ID)+"?access_token="+token, ""),
		"another route":   b.do("GET", httpapi.JobPath(other.ID)+"?access_token="+token, ""),
		"one that may it": b.do("POST", httpapi.CancelPath(snap.ID), "", "Authorization", "Bearer "+token),
	} {
		if r.status < 400 || r.status >= 500 || !held() {
			t.Errorf("%s: %d %s", what, r.status, r.body)
		}
	}
	expired := b.mint(g, &access.Principal{Scopes: access.JobsRelease, Expires: time.Now().Add(-time.Minute),
		Grant: &access.Grant{Jobs: []string{string(snap.ID)}}})
	if r := b.do("GET", httpapi.ReleasePath(snap.ID)+"?access_token="+expired, ""); r.status != 401 ||
		!strings.Contains(r.body, "This link has expired") {
		t.Errorf("expired: %d %s", r.status, r.body)
	}
	for range 2 {
		if r := press(snap.ID, token); r.status != 200 || !strings.Contains(r.body, "was released at") || held() {
			t.Errorf("pressed: %d %s", r.status, r.body)
		}
	}
	if r := b.do("GET", link, ""); r.status != 200 || strings.Contains(r.body, "<form") {
		t.Errorf("afterwards: %d %s", r.status, r.body)
	}
	if strings.Contains(b.log.String(), token) {
		t.Error("the token is in the log")
	}
	mint := func(body string) int {
		return b.do("POST", httpapi.PathTokens, body, "Authorization", "Bearer "+rootToken).status
	}
	id := string(other.ID)
	for body, status := range map[string]int{
		`{"jobs":["` + id + `"],"scopes":["jobs:release"],"ttl":"720h"}`:              201,
		`{"jobs":["` + id + `"],"scopes":["jobs:release"],"ttl":"721h"}`:              422,
		`{"jobs":["` + id + `"],"scopes":["jobs:release","jobs:cancel"],"ttl":"25h"}`: 422,
		`{"subject":"u","scopes":["jobs:release"],"ttl":"25h"}`:                       422,
	} {
		if got := mint(body); got != status {
			t.Errorf("%s: %d, want %d", body, got, status)
		}
	}
}
