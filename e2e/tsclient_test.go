//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/internal/tooltest"
)

// tsFolder is a folder with our scripts and the TypeScript client as it is shipped.
func tsFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	clients := jsClients(t)
	for _, name := range []string{"chromium.mjs", "ts-node.mjs", "ts-direct.mjs", "ts-react.mjs", "ts-browser.mjs",
		"dashboard.mjs", "alerts.mjs"} {
		copyFile(t, filepath.Join(clients, name), filepath.Join(dir, name))
	}
	for _, name := range []string{"longshore.js", "react.js"} {
		copyFile(t, filepath.Join("../clients/typescript/dist", name), filepath.Join(dir, name))
	}
	if err := os.Symlink(filepath.Join(clients, "node_modules"),
		filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	page := `<!doctype html><meta charset="utf-8"><title>Upload</title><input type="file" id="file">`
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// script runs one of our scripts in Node, and does what it asks for. The last line that it says is read
// into end.
func script(t *testing.T, dir string, do map[string]func(), end any, args ...string) {
	t.Helper()
	scriptOf(t, dir, nil, do, end, append([]string{"node"}, args...)...)
}

// scriptOf is script in any language, nil being our own environment. It returns what the script has written
// to stderr.
func scriptOf(t *testing.T, dir string, env []string, do map[string]func(), end any, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var trouble bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = dir, env, &trouble
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		last = lines.Text()
		if act := do[last]; act != nil {
			act()
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, trouble.String())
	}
	if err := json.Unmarshal([]byte(last), end); err != nil {
		t.Fatalf("%v says %q: %v\n%s", args, last, err, trouble.String())
	}
	return trouble.String()
}

// again kills a web process and starts another one at its address.
func (in *installation) again(t *testing.T, web *process, url string, env ...string) func() {
	return func() {
		web.signal(syscall.SIGKILL)
		<-web.done
		in.web(t, append(env, "PORT="+url[strings.LastIndex(url, ":")+1:])...)
	}
}

// TestTypeScriptInNode drives the TypeScript client in Node by each way of following that there
// is: refusals, abort, a batch, an upload, over connections that break, and a server that is killed.
func TestTypeScriptInNode(t *testing.T) {
	t.Parallel()
	dir := tsFolder(t)
	in := install(t)
	in.worker(t)
	file, sum := someFile(t, 9_000_000)
	for _, way := range []string{"events", "poll"} {
		web, url := in.web(t)
		proxy := newCutter(t, 0, 500_000, strings.TrimPrefix(url, "http://"))
		again := in.again(t, web, url)
		var end struct {
			Jobs, Ended   int
			SHA256, State string
		}
		script(t, dir, map[string]func(){"restart": func() { proxy.cuts.Store(8); again() }}, &end,
			"ts-node.mjs",
			"http://"+proxy.Addr().String(), file, way)
		if end.Jobs != 700 || end.Ended != 150 || end.SHA256 != sum || end.State != "succeeded" {
			t.Errorf("%s: %+v, want %s", way, end, sum)
		}
	}
}

// TestTypeScriptInPage drives the TypeScript client in Chromium: an upload is paused, the page
// reloaded, and the same file goes on where it was, as the same job; the server is killed and started
// before that job ends, and the page hears of the end.
func TestTypeScriptInPage(t *testing.T) {
	t.Parallel()
	chromium := tooltest.Path(t, "chromium")
	dir := tsFolder(t)
	page := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(page.Close)
	in := install(t, "CORS_ORIGINS="+page.URL)
	web, url := in.web(t)
	const size = 3_000_000
	file, sum := someFile(t, size)
	again := in.again(t, web, url)
	var end struct {
		State, SHA256             string
		Same                      bool
		Before, Half, After, Left int
		Sockets, Streams          int
	}
	script(t, dir, map[string]func(){"restart": func() { again(); in.worker(t) }}, &end, "ts-browser.mjs",
		chromium, page.URL, url, file)
	if end.State != "succeeded" || end.SHA256 != sum || !end.Same || end.Left != 0 {
		t.Errorf("ended as %+v, want %s", end, sum)
	}
	if end.Half == 0 || end.After+end.Half > size || end.Sockets < 2 || end.Streams > 0 {
		t.Errorf("%d of %d bytes before the reload and %d after, %d sockets, %d streams",
			end.Half, size, end.After, end.Sockets, end.Streams)
	}
}

// TestTypeScriptTypes makes the declarations of the TypeScript client anew and compares: what is
// committed is what its sources say.
func TestTypeScriptTypes(t *testing.T) {
	t.Parallel()
	modules := filepath.Join(jsClients(t), "node_modules")
	dir, out := t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../clients/typescript")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(modules, ".bin/tsc"), "-p", dir, "--outDir", out)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tsc: %v\n%s", err, said)
	}
	made, err := filepath.Glob(filepath.Join(out, "*.d.ts"))
	if err != nil || len(made) < 5 {
		t.Fatal(made, err)
	}
	for _, path := range made {
		name := filepath.Join("../clients/typescript/dist", filepath.Base(path))
		fresh, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := os.ReadFile(name); err != nil || !bytes.Equal(fresh, kept) {
			t.Errorf("%s is not what `npm run types` makes in clients/typescript (%v)", name, err)
		}
	}
}

// TestReact renders the hooks in StrictMode, against a server: jobs that several components look at
// are followed once and not beyond their end, an upload tells its way, and survives its component.
func TestReact(t *testing.T) {
	t.Parallel()
	dir := tsFolder(t)
	in := install(t)
	in.worker(t)
	web, url := in.web(t)
	file, sum := someFile(t, 3_000_000)
	var end struct {
		Streams, Later int
		States         []string
		SHA256, Other  string
		Refused        int
	}
	script(t, dir, map[string]func(){"kill": in.again(t, web, url)}, &end, "ts-react.mjs", url, file)
	if end.Streams != 1 || end.Later != 0 || end.Refused != 404 || end.SHA256 != sum || end.Other != sum {
		t.Errorf("%+v, want %s", end, sum)
	}
	if n := len(end.States); n < 2 || end.States[n-1] != "succeeded" {
		t.Errorf("the upload was seen as %q", end.States)
	}
}
