//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore/internal/tooltest"
)

// TestPeople lets a person in by each way, in Chromium: a link of enqueue users, a password, codes
// of an app, a passkey of a virtual authenticator; pages of another site get nothing.
func TestPeople(t *testing.T) {
	t.Parallel()
	chromium := tooltest.Path(t, "chromium")
	clients := jsClients(t)
	port := freePort(t)
	in := install(t, "LONGSHORE_TOKEN="+webToken, "ACCESS_SECRET=a-secret-for-tests-of-32-characters",
		"PORT="+port, "PUBLIC_URL=http://localhost:"+port)
	web, _ := in.web(t)
	code, link, stderr := call(t, "", in.env, "enqueue", "users", "add", "--admin", "ada@example.com")
	if code != 0 || !strings.HasPrefix(link, "http://localhost:"+port+"/ui/login/register?link=") {
		t.Fatal(link, stderr)
	}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	var trouble bytes.Buffer
	browser := exec.CommandContext(ctx, "node", "people.mjs", chromium, strings.TrimSpace(link),
		"ada@example.com")
	browser.Dir, browser.Stderr = clients, &trouble
	out, err := browser.Output()
	if err != nil {
		t.Fatalf("%v after %q: %s", err, out, trouble.String())
	}
	for _, step := range []string{"register", "codes", "passkey", "code, without scripts", "another site",
		"end another session", "step-up"} {
		if !strings.Contains(string(out), "done "+step+"\n") {
			t.Errorf("%q lacks %s", out, step)
		}
	}
	if code, list, _ := call(t, "", in.env, "enqueue", "users", "ls"); code != 0 ||
		!strings.Contains(list, "password,codes,passkey") {
		t.Errorf("users ls: %d %s", code, list)
	}
	if code, _, stderr := call(t, "", in.env, "enqueue", "users", "link", "ada@example.com"); code == 0 {
		t.Errorf("a link for who can log in: %s", stderr)
	}
	if code, _, _ := call(t, "", in.env, "enqueue", "users", "rm", "nobody@example.com"); code == 0 {
		t.Error("nobody was removed")
	}
	if lines := web.said(strings.TrimPrefix(strings.TrimSpace(link), "http://localhost:"+port)); lines != nil {
		t.Errorf("a link is in the log: %q", lines)
	}
}

// TestPeopleByIssuer logs in by an issuer of OpenID Connect, another process, in Chromium: who was
// invited, who is of a domain that is welcome, who links it; and not who is nobody.
func TestPeopleByIssuer(t *testing.T) {
	t.Parallel()
	chromium := tooltest.Path(t, "chromium")
	clients := jsClients(t)
	npm := exec.CommandContext(t.Context(), "npm", "install", "--no-save", "--no-package-lock", "--no-audit",
		"--no-fund", "--ignore-scripts", "--silent", oidcProvider)
	dir := t.TempDir()
	for _, file := range []string{"issuer.mjs"} {
		text, err := os.ReadFile(filepath.Join("testdata/tus", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		tooltest.Missing(t, string(out))
	}
	port := freePort(t)
	site := "http://localhost:" + port
	ctx, stop := context.WithTimeout(t.Context(), 6*time.Minute)
	defer stop()
	issuer := exec.CommandContext(ctx, "node", "issuer.mjs", site+"/ui/login/issuer/back")
	issuer.Dir, issuer.Stderr = dir, os.Stderr
	said, err := issuer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := issuer.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		_ = issuer.Wait() // it was ended
	}()
	lines, address := bufio.NewScanner(said), ""
	for address == "" && lines.Scan() {
		address, _ = strings.CutPrefix(lines.Text(), "listens ")
	}
	in := install(t, "LONGSHORE_TOKEN="+webToken, "PORT="+port, "PUBLIC_URL="+site, "OIDC_ISSUER="+address,
		"OIDC_CLIENT_ID=longshore", "OIDC_CLIENT_SECRET=a-secret-of-the-client",
		"OIDC_DOMAINS=welcome.example")
	in.web(t)
	if code, _, stderr := call(t, "", in.env, "enqueue", "users", "add", "invited@example.com"); code != 0 {
		t.Fatal(stderr)
	}
	code, link, stderr := call(t, "", in.env, "enqueue", "users", "add", "--role", "operator",
		"has@example.com")
	if code != 0 {
		t.Fatal(stderr)
	}
	var trouble bytes.Buffer
	browser := exec.CommandContext(ctx, "node", "by-issuer.mjs", chromium, site, strings.TrimSpace(link))
	browser.Dir, browser.Stderr = clients, &trouble
	out, err := browser.Output()
	if err != nil {
		t.Fatalf("%v after %q: %s", err, out, trouble.String())
	}
	for _, step := range []string{"invited", "welcome", "unverified", "nobody", "has a login", "linked",
		"other browser", "again"} {
		if !strings.Contains(string(out), "done "+step+"\n") {
			t.Errorf("%q lacks %s", out, step)
		}
	}
}

const oidcProvider = "oidc-provider@9.13.3"
