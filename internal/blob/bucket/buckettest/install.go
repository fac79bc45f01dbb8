package buckettest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"longshore/internal/tooltest"
)

// source is the S3 server that tests run, and its version.
const source = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// program returns the server's path. Where it is not on PATH it is built once a
// machine, into the user's cache folder, which takes a minute or two.
func program(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path
	}
	path, err := installed()
	if err != nil {
		t.Log(err)
		tooltest.Missing(t, "versitygw, which can't be installed here")
	}
	return path
}

var installed = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "longshore", "versitygw-1.8.0")
	path := filepath.Join(folder, "versitygw")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	// Packages are tested at once, and one of them should install it.
	unlock, err := lock(filepath.Join(folder, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintln(os.Stderr, "buckettest: building versitygw, once")
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "install", source)
	build.Dir = folder // outside of our module, whose go.mod says nothing of it
	build.Env = append(os.Environ(), "GOBIN="+folder, "CGO_ENABLED=0", "GOFLAGS=")
	build.WaitDelay = time.Second
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("install versitygw: %w\n%s", err, out), os.RemoveAll(path))
	}
	return path, nil
})
