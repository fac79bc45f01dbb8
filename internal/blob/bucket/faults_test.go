package bucket_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"longshore/internal/blob"
	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/bucket/buckettest"
)

// A fault is what stands between the store and its server.
type fault func(w http.ResponseWriter, r *http.Request, server http.Handler)

// between starts a server, and a proxy before it that does some harm. It
// returns the server and the URL of the proxy.
func between(t *testing.T, f fault) (*buckettest.Server, string) {
	t.Helper()
	server := buckettest.Start(t)
	to, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	forward := &httputil.ReverseProxy{Transport: transport, Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host = p.In.Host // it is signed
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		f(w, r, forward)
	}))
	t.Cleanup(func() {
		proxy.Close()
		transport.CloseIdleConnections()
	})
	return server, buckettest.URLAt(proxy.URL, "p")
}

// cut answers with the first bytes of an answer, and breaks the connection.
type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Write(p []byte) (int, error) {
	if len(p) < c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	c.ResponseWriter.Write(p[:c.left])
	http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func (c *cut) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// lose lets a request through and loses its answer.
func lose(r *http.Request, server http.Handler) {
	server.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

func isBlob(r *http.Request) bool { return strings.Contains(r.URL.Path, "/jobs/") }

// TestBrokenDownload breaks connections in the middle of a blob.
func TestBrokenDownload(t *testing.T) {
	t.Parallel()
	var breaks atomic.Int32
	_, through := between(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodGet && isBlob(r) && breaks.Add(1) <= 3 {
			w = &cut{w, 1_000_000}
		}
		server.ServeHTTP(w, r)
	})
	s := open(t, through)
	content := string(noise(6 << 20))
	blobtest.Put(t, s, "a0/in", content)
	if blobtest.Get(t, s, "a0/in") != content {
		t.Error("the content has changed")
	}
	if breaks.Load() < 4 {
		t.Errorf("only %d connections", breaks.Load())
	}
}

// TestDeadDownload breaks all connections before the first byte.
func TestDeadDownload(t *testing.T) {
	t.Parallel()
	_, through := between(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodGet && isBlob(r) {
			w = &cut{w, 0}
		}
		server.ServeHTTP(w, r)
	})
	s := open(t, through)
	blobtest.Put(t, s, "a0/in", "content")
	r, err := s.Open(t.Context(), "a0/in")
	if err == nil {
		defer r.Close()
		_, err = io.ReadAll(r)
	}
	if !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("read = %v, want ErrUnavailable", err)
	}
}

// TestLostAnswers loses the answer to what makes a blob visible: once, and it
// is found to be there; always, and it is taken back.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, 6 << 20} { // put, completed
		var losses, most atomic.Int32
		server, through := between(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
			put := r.Method == http.MethodPut && !r.URL.Query().Has("partNumber")
			complete := r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
			if isBlob(r) && (put || complete) && losses.Add(1) <= most.Load() {
				lose(r, server)
			}
			server.ServeHTTP(w, r)
		})
		s := open(t, through)
		content := noise(size)
		most.Store(1)
		blobtest.Put(t, s, "a0/in", string(content))
		if blobtest.Get(t, s, "a0/in") != string(content) || losses.Load() < 2 {
			t.Errorf("%d bytes: after one lost answer it is not there", size)
		}
		most.Store(1000)
		w, err := s.Create(t.Context(), "a0/f/out")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(); !errors.Is(err, blob.ErrUnavailable) && size < 5<<20 {
			t.Errorf("%d bytes: Commit = %v, want ErrUnavailable", size, err)
		} else if err != nil {
			clean(t, server, "p", "jobs/a0/in")
		}
	}
}

// TestFailingParts refuses every part, and one of them once.
func TestFailingParts(t *testing.T) {
	t.Parallel()
	var refuse atomic.Int32
	server, through := between(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.URL.Query().Has("partNumber") && refuse.Add(-1) >= 0 {
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		}
		server.ServeHTTP(w, r)
	})
	s := open(t, through)
	refuse.Store(1000)
	w, err := s.Create(t.Context(), "a0/in")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(w, bytes.NewReader(noise(11<<20)))
	if err == nil {
		_, err = w.Commit()
	}
	if !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("write = %v, want ErrUnavailable", err)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort = %v", err)
	}
	clean(t, server, "p")
	refuse.Store(2)
	content := string(noise(11 << 20))
	blobtest.Put(t, s, "a0/in", content)
	if blobtest.Get(t, s, "a0/in") != content {
		t.Error("the content has changed")
	}
}
