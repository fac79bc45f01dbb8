//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/internal/tooltest"
)

// TestUploadPage runs examples/upload-page in Chromium: the page uploads in pieces with a token for
// one job, follows it over the ends of its tokens, for nothing runs the job until two of them
// have passed, and sees nobody else's job.
func TestUploadPage(t *testing.T) {
	t.Parallel()
	chromium := tooltest.Path(t, "chromium")
	clients := jsClients(t)
	dir := filepath.Join(clients, "upload-page")
	if err := os.CopyFS(dir, os.DirFS("../examples/upload-page")); err != nil {
		t.Fatal(err)
	}
	client, err := filepath.Abs("../clients/typescript/dist/longshore.js")
	if err != nil {
		t.Fatal(err)
	}
	in := install(t, "LONGSHORE_TOKEN="+webToken, "CORS_ORIGINS=*", "LOG_LEVEL=debug")
	web, url := in.web(t)
	code, key, stderr := call(t, "", in.env, "enqueue", "keys", "add", "pages", "--scope",
		"jobs:submit,jobs:read", "--type", "file.checksum")
	if code != 0 {
		t.Fatal(stderr)
	}
	code, other, stderr := call(t, "", []string{"LONGSHORE_URL=" + url, "LONGSHORE_TOKEN=" + webToken},
		"enqueue", "submit", "math.primes", "--set", "n=9")
	if code != 0 {
		t.Fatal(stderr)
	}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	server := exec.CommandContext(ctx, "node", "server.mjs")
	server.Dir, server.Stderr = dir, os.Stderr
	server.Env = append(os.Environ(), "LONGSHORE_URL="+url, "LONGSHORE_TOKEN="+strings.TrimSpace(key),
		"PORT=0", "TTL=6s",
		"CLIENT="+client)
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	said, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		_ = server.Wait() // it was ended
	}()
	lines := bufio.NewScanner(said)
	until := func(word string) string {
		t.Helper()
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), word+" "); ok {
				return rest
			}
		}
		t.Fatalf("the page's server never says %s", word)
		return ""
	}
	page := until("listens")
	file, sum := someFile(t, 3_000_000)
	var out, trouble bytes.Buffer
	browser := exec.CommandContext(ctx, "node", "upload-page.mjs", chromium, page, file, url,
		strings.TrimSpace(other))
	browser.Dir, browser.Stdout, browser.Stderr = clients, &out, &trouble
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	job := until("made")
	for range 3 { // each is half a token's life after the one before
		if renewed := until("renewed"); renewed != job {
			t.Errorf("renewed for %s, not %s", renewed, job)
		}
	}
	in.worker(t)
	if err := browser.Wait(); err != nil {
		t.Fatalf("%v: %s", err, trouble.String())
	}
	var end struct {
		State   string
		Result  struct{ SHA256 string }
		Tokens  int
		Foreign int
	}
	if err := json.Unmarshal(out.Bytes(), &end); err != nil || end.State != "succeeded" ||
		end.Result.SHA256 != sum || end.Tokens < 4 || end.Foreign != 404 {
		t.Errorf("the page ends as %s (%v)", out.String(), err)
	}
	for _, secret := range []string{"eyJ", strings.TrimSpace(key)} {
		if lines := web.said(secret); lines != nil {
			t.Errorf("a token is in the log: %q", lines)
		}
	}
}
