//go:build linux

package e2e

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestKeys makes a key at Redis, works with it over HTTP at two web processes, and deletes it
// at one of them: the other refuses it within 5 s.
func TestKeys(t *testing.T) {
	t.Parallel()
	in := install(t, "LONGSHORE_TOKEN="+webToken)
	_, one := in.web(t)
	_, other := in.web(t)
	in.worker(t)
	must := func(want int, env []string, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := call(t, "", env, "enqueue", args...)
		if code != want {
			t.Fatalf("enqueue %q: exit %d, want %d: %s", args, code, want, stderr)
		}
		return strings.TrimSpace(stdout), stderr
	}
	key, note := must(0, in.env, "keys", "add", "shop", "--type", "math.*", "--rate", "1000/1m", "--expires", "1h")
	id := strings.Split(key, "_")[1]
	if !strings.HasPrefix(key, "ls_") || !strings.Contains(note, id) || strings.Contains(note, key) {
		t.Fatalf("the key is %q, told as %q", key, note)
	}
	byKey := func(url string) []string { return []string{"LONGSHORE_URL=" + url, "LONGSHORE_TOKEN=" + key} }
	byRoot := []string{"LONGSHORE_URL=" + one, "LONGSHORE_TOKEN=" + webToken}
	for _, url := range []string{one, other} {
		must(0, byKey(url), "submit", "math.primes", "--set", "n=10", "--wait")
		if _, stderr := must(1, byKey(url), "submit", "no.such"); !strings.Contains(stderr, "forbidden") {
			t.Errorf("a type that the key may not submit: %s", stderr)
		}
		must(1, byKey(url), "keys", "ls")
	}
	if list, _ := must(0, byRoot, "keys", "ls"); !strings.Contains(list, id) ||
		!strings.Contains(list, "math.*") || strings.Contains(list, key) {
		t.Errorf("keys ls: %s", list)
	}
	next, _ := must(0, byRoot, "keys", "rotate", id, "--keep", "1h")
	must(0, byKey(other), "types")
	key = next
	must(0, byKey(other), "types")
	must(0, byRoot, "keys", "rm", id)
	must(5, byRoot, "keys", "rm", id)
	for begun := time.Now(); ; {
		code, _, _ := call(t, "", byKey(other), "enqueue", "types")
		if code == 78 {
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("a deleted key is taken after %v: exit %d", time.Since(begun), code)
		}
	}
	if list, _ := must(0, in.env, "keys", "ls", "--format", "jsonl"); list != "" {
		t.Errorf("keys that are left: %s", list)
	}
	must(2, in.env, "keys", "add", "x", "--scope", "everything")
	must(2, in.env, "keys", "add", "x", "--rate", "many")
	must(2, in.env, "keys", "add", "x", "--tenant", "no tenant")
}

// TestUploadsByID holds that who may submit and no more goes on with its own uploads alone: those of another
// key are not there, whatever it asks, and go on.
func TestUploadsByID(t *testing.T) {
	t.Parallel()
	in := install(t, "LONGSHORE_TOKEN="+webToken)
	_, url := in.web(t)
	key := func(name, scopes string) string {
		t.Helper()
		code, key, stderr := call(t, "", in.env, "enqueue", "keys", "add", name, "--scope", scopes)
		if code != 0 {
			t.Fatal(stderr)
		}
		return strings.TrimSpace(key)
	}
	ask := func(key, method, path string, headers ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Tus-Resumable", "1.0.0")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode, answer.Header.Get("Location")
	}
	mine, others := key("mine", "jobs:submit"), key("others", "jobs:submit")
	reads, cancels := key("reads", "jobs:submit,jobs:read"), key("cancels", "jobs:submit,jobs:read,jobs:cancel")
	begin := func(key string) string {
		t.Helper()
		status, at := ask(key, "POST", "/v1/uploads", "Upload-Length", "5", "Upload-Metadata",
			"type "+base64.StdEncoding.EncodeToString([]byte("log.analyze")))
		if status != 201 {
			t.Fatalf("begin: %d", status)
		}
		return at[strings.Index(at, "/v1/"):]
	}
	at := begin(mine)
	for _, c := range []struct {
		key, method string
		want        int
	}{
		{others, "HEAD", 404}, {others, "PATCH", 404}, {others, "DELETE", 404}, {others, "POST", 404},
		{reads, "HEAD", 200}, {reads, "DELETE", 404}, {mine, "HEAD", 200}, {mine, "DELETE", 204},
		{mine, "HEAD", 410},
	} {
		headers := []string{"Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"}
		if c.method == "POST" {
			headers = append(headers, "X-HTTP-Method-Override", "DELETE")
		}
		if status, _ := ask(c.key, c.method, at, headers...); status != c.want {
			t.Errorf("%s by %.18s: %d, want %d", c.method, c.key, status, c.want)
		}
	}
	own := begin(reads) // who may not cancel jobs ends its own uploads
	if status, _ := ask(reads, "DELETE", own); status != 204 {
		t.Errorf("its own: %d", status)
	}
	if status, _ := ask(cancels, "DELETE", begin(others)); status != 204 {
		t.Errorf("by who may cancel: %d", status)
	}
}
