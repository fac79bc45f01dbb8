//go:build linux

package e2e

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"longshore/internal/httpapi"
)

// inherits starts web with a socket that was opened for it, as systemd does.
func (in *installation) inherits(t *testing.T, l net.Listener, env ...string) *process {
	t.Helper()
	file, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "cluster"), "--be-shim", filepath.Join(dir, "web"))
	cmd.ExtraFiles = []*os.File{file}
	return startCommand(t, cmd, slices.Concat(in.env, []string{"LISTEN_FDS=1"}, env))
}

// TestInheritedSockets has web serve on a socket that a supervisor has opened: a path,
// or a port, but none that others can reach while nothing keeps them out.
func TestInheritedSockets(t *testing.T) {
	t.Parallel()
	in := install(t)
	path := filepath.Join(t.TempDir(), "web")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := in.inherits(t, l)
	p.await(t, `"msg":"web listens"`)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://localhost" + httpapi.PathReady)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("by a path: %s", resp.Status)
	}

	everywhere, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer everywhere.Close()
	open := in.inherits(t, everywhere)
	if code := open.end(t, 20*time.Second); code != 78 ||
		len(open.said("LISTEN_FDS is a socket that others can reach")) == 0 {
		t.Errorf("without a token, on all addresses: exit %d", code)
	}
	in.inherits(t, everywhere, "LONGSHORE_TOKEN=0123456789abcdefghijklmn").await(t, `"msg":"web listens"`)
}
