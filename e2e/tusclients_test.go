//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"longshore/internal/tooltest"
	"longshore/job"
)

// The clients that we are tested with, by name and version.
const (
	tusClient  = "tus-js-client@4.3.1"
	uppy       = "uppy@6.0.1" // a bundle with core and tus
	playwright = "playwright-core@1.56.1"
	axe        = "axe-core@4.14.1" // looks for what hinders people
)

// jsClients returns a folder with the clients from npm, installed once, and our
// scripts beside them.
func jsClients(t *testing.T) string {
	t.Helper()
	tooltest.Path(t, "node")
	tooltest.Path(t, "npm")
	dir, err := jsFolder()
	if err != nil {
		tooltest.Missing(t, err.Error())
	}
	return dir
}

var jsFolder = sync.OnceValues(func() (string, error) {
	base, err := programs() // its folder is removed at the end
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "js")
	if err := os.CopyFS(dir, os.DirFS("testdata/tus")); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"npm", "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts",
			"--silent", tusClient, playwright, axe, "typescript@5.9.3", "@types/react@18.3.12", "react@18.3.1",
			"react-test-renderer@18.3.1"},
		{"npm", "pack", "--silent", uppy},
		{"tar", "-xzf", strings.Replace(uppy, "@", "-", 1) + ".tgz", "--strip-components=2",
			"package/dist/uppy.min.mjs"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", errors.New(strings.Join(args, " ") + ": " + err.Error() + ": " + string(out))
		}
	}
	return dir, nil
})

// A cutter is a proxy of connections. It brings each to one of several servers,
// in turn, and cuts as many of them as it has cuts, each after a random number
// of bytes from the client.
type cutter struct {
	net.Listener
	servers []string // host:port
	most    int64    // bytes until a cut
	cuts    atomic.Int64
	count   atomic.Int64
}

func newCutter(t *testing.T, cuts, most int64, servers ...string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, servers: servers, most: most}
	c.cuts.Store(cuts)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return c
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	var server net.Conn
	err := errors.New("no server")
	for range c.servers { // the next one, where one was killed
		if server, err = net.Dial("tcp", c.servers[int(c.count.Add(1))%len(c.servers)]); err == nil {
			break
		}
	}
	if err != nil {
		return
	}
	defer server.Close()
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		io.Copy(client, server)
		client.Close() // ends the copy below
	}()
	if c.cuts.Load() > 0 {
		if _, err := io.CopyN(server, client, 1000+rand.Int64N(c.most)); err == nil {
			c.cuts.Add(-1)
			client.(*net.TCPConn).SetLinger(0)
		}
	} else {
		io.Copy(server, client)
	}
	client.Close()
	server.Close()
	<-answers
}

// A jsEnd is what our scripts say at their end.
type jsEnd struct {
	Retries    int
	Job        job.ID
	URL        string
	Successful int
	Failed     []string
}

// runNode runs one of the scripts.
func runNode(t *testing.T, dir string, args ...string) (end jsEnd) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = dir
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("node %v: %v\n%s", args, err, said.String())
	}
	if err := json.Unmarshal(out.Bytes(), &end); err != nil {
		t.Fatalf("node %v says %q: %v", args, out.String(), err)
	}
	return end
}

// someFile writes a file of noise.
func someFile(t *testing.T, size int64) (name, sum string) {
	t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(data)
	name = filepath.Join(t.TempDir(), "in.bin")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(data)
	return name, hex.EncodeToString(digest[:])
}

// checkSum waits for a checksum job and compares.
func checkSum(t *testing.T, url string, id job.ID, sum string) {
	t.Helper()
	snap := wait(t, clientOf(t, url), id)
	var result struct{ SHA256 string }
	if json.Unmarshal(snap.Result, &result); snap.State != job.Succeeded || result.SHA256 != sum {
		t.Errorf("job ended as %+v, want sha256 %s", snap, sum)
	}
}

// TestTusJS uploads with tus-js-client in Node, over connections that break and
// go to another web process each time, of which one is killed on the way.
func TestTusJS(t *testing.T) {
	t.Parallel()
	dir := jsClients(t)
	in := install(t, "LOG_LEVEL=info")
	in.worker(t)
	doomed, first := in.web(t)
	_, second := in.web(t)
	const size, cuts = 20_000_000, 6
	file, sum := someFile(t, size)
	proxy := newCutter(t, cuts, size/cuts, strings.TrimPrefix(first, "http://"),
		strings.TrimPrefix(second, "http://"))
	go func() {
		for proxy.cuts.Load() > cuts/2 && t.Context().Err() == nil {
			<-time.After(5 * time.Millisecond)
		}
		doomed.signal(syscall.SIGKILL)
	}()
	end := runNode(t, dir, "node.mjs", "http://"+proxy.Addr().String()+"/v1/uploads", file)
	t.Logf("%+v", end)
	if left := proxy.cuts.Load(); end.Retries < cuts/2 || left > 0 { // some hit between two requests
		t.Errorf("%d retries, %d cuts left", end.Retries, left)
	}
	checkSum(t, second, end.Job, sum)
	if !strings.HasSuffix(end.URL, "/v1/uploads/"+string(end.Job)) {
		t.Errorf("url %q of job %s", end.URL, end.Job)
	}
}

// TestUppy uploads with Uppy in Chromium from a page of another origin, over
// connections that break and go to another web process each time.
func TestUppy(t *testing.T) {
	t.Parallel()
	dir := jsClients(t)
	chromium := tooltest.Path(t, "chromium")
	const size, cuts = 20_000_000, 6
	file, sum := someFile(t, size)
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	page := httptest.NewServer(mux)
	t.Cleanup(page.Close)
	in := install(t, "LOG_LEVEL=info", "CORS_ORIGINS="+page.URL)
	in.worker(t)
	_, first := in.web(t)
	_, second := in.web(t)
	proxy := newCutter(t, cuts, size/cuts, strings.TrimPrefix(first, "http://"),
		strings.TrimPrefix(second, "http://"))
	end := runNode(t, dir, "browser.mjs", chromium, page.URL+"/page.html?endpoint="+
		url.QueryEscape("http://"+proxy.Addr().String()+"/v1/uploads"))
	t.Logf("%+v", end)
	if left := proxy.cuts.Load(); end.Successful != 1 || len(end.Failed) > 0 || end.Retries < cuts/2 ||
		left > 0 {
		t.Errorf("ended as %+v, %d cuts left", end, left)
	}
	checkSum(t, second, end.Job, sum)
}
