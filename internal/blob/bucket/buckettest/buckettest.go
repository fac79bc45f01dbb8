// Package buckettest gives tests a real S3 server: versitygw, which keeps
// buckets as folders, so that a test can look at what is there.
package buckettest

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore/internal/blob/bucket"
)

// The server's one user.
const (
	KeyID     = "longshore"
	SecretKey = "hunter2-of-the-bucket"
	Region    = "us-east-1"
)

// Bucket is the bucket that each server has.
const Bucket = "blobs"

// A Server is a running S3 server.
type Server struct {
	Endpoint string // http://127.0.0.1:port
	Folder   string // holds the bucket's folder

	path  string // of the program
	cmd   *exec.Cmd
	out   bytes.Buffer
	ended chan struct{}
}

// Start starts a server with an empty bucket, ended at the test's end. It skips
// the test where there is none and none can be installed.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartIn(t, t.TempDir())
}

// StartIn is Start with the folder to keep buckets in.
func StartIn(t testing.TB, folder string) *Server {
	t.Helper()
	s := &Server{Folder: folder}
	if err := os.MkdirAll(filepath.Join(folder, Bucket), 0o755); err != nil {
		t.Fatal(err)
	}
	s.path = program(t)
	for range 5 { // somebody may take the port before the server does
		if s.run(t, freeAddress(t)) {
			t.Cleanup(s.Stop)
			return s
		}
	}
	t.Fatalf("versitygw doesn't start: %s", s.out.Bytes())
	return nil
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts the process and waits until it answers, or has ended.
func (s *Server) run(t testing.TB, address string) bool {
	t.Helper()
	s.Endpoint = "http://" + address
	s.out.Reset()
	s.cmd = exec.Command(s.path, "--quiet", "--keep-alive", "--region", Region, "--port", address, "posix",
		s.Folder)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "ROOT_ACCESS_KEY_ID=" + KeyID,
		"ROOT_SECRET_ACCESS_KEY=" + SecretKey}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = attr()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func() { _ = s.cmd.Wait(); close(ended) }() // it is killed, in the end
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for patience := time.After(20 * time.Second); ; {
		if answer, err := client.Get(s.Endpoint); err == nil {
			answer.Body.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-patience:
			_ = s.cmd.Process.Kill() // it may have ended
			<-ended
			return false
		case <-tick.C:
		}
	}
}

// Stop kills the server; what it keeps stays.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}

// Restart starts a stopped server again, where it was.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if !s.run(t, strings.TrimPrefix(s.Endpoint, "http://")) {
		t.Fatalf("versitygw doesn't start again: %s", s.out.Bytes())
	}
}

// URL returns the BLOB_URL of a prefix in the bucket.
func (s *Server) URL(prefix string) string { return URLAt(s.Endpoint, prefix) }

// URLAt is URL for an endpoint that leads to a server.
func URLAt(endpoint, prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=%s", Bucket, prefix, url.QueryEscape(endpoint), Region)
}

// Env returns the credentials as environment variables.
func Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + KeyID, "AWS_SECRET_ACCESS_KEY=" + SecretKey}
}

// Access returns the credentials.
func Access() bucket.Access { return bucket.Access{KeyID: KeyID, SecretKey: SecretKey} }

// Files returns the paths of all objects below the prefix, and of what is left
// of unfinished uploads, sorted.
func (s *Server) Files(t testing.TB, prefix string) (objects, parts []string) {
	t.Helper()
	root := filepath.Join(s.Folder, Bucket)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it may vanish meanwhile
		}
		name, _ := filepath.Rel(root, p)
		name = filepath.ToSlash(name)
		if strings.HasPrefix(name, ".sgwtmp") {
			if strings.Contains(name, "multipart") {
				parts = append(parts, name)
			}
		} else if rest, ok := strings.CutPrefix(name, prefix+"/"); ok {
			objects = append(objects, rest)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects, parts
}
