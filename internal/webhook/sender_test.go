package webhook

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testSender(t *testing.T) *Sender {
	t.Helper()
	s, err := NewSender(Config{Secrets: []string{secretA}, Allow: []string{"127.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.CloseIdleConnections)
	return s
}

func TestPost(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer sink.Close()
	if r := testSender(t).once(t.Context(), "id-1", sink.URL+"/hook?token=x",
		[]byte(`{"a":1}`)); r != (Result{Status: 204}) {
		t.Errorf("result %+v", r)
	}
	if got.Method != http.MethodPost || got.URL.String() != "/hook?token=x" || string(body) != `{"a":1}` ||
		got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Webhook-Id") != "id-1" {
		t.Errorf("request %v %v %v, body %s", got.Method, got.URL, got.Header, body)
	}
	again := http.Header{}
	s, _ := newSigner([]string{secretA}, nil)
	at, err := time.ParseDuration(got.Header.Get("Webhook-Timestamp") + "s")
	if err != nil {
		t.Fatal(err)
	}
	s.sign(again, got.URL, "id-1", time.Unix(int64(at.Seconds()), 0), body)
	if diff := cmp.Diff(again.Get("Webhook-Signature"), got.Header.Get("Webhook-Signature")); diff != "" {
		t.Errorf("signature (-want +got):\n%s", diff)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	mux.HandleFunc("/{status}/{after}", func(w http.ResponseWriter, r *http.Request) {
		status := map[string]int{"200": 200, "202": 202, "302": 302, "307": 307, "404": 404, "410": 410,
			"429": 429, "503": 503}
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("Retry-After", r.PathValue("after"))
		w.WriteHeader(status[r.PathValue("status")])
	})
	sink := httptest.NewServer(mux)
	defer sink.Close()
	for path, want := range map[string]Result{
		"/200/5":   {Status: 200},
		"/202/-":   {Status: 202},
		"/302/-":   {Status: 302, Code: CodeRedirect},
		"/307/-":   {Status: 307, Code: CodeRedirect},
		"/404/-":   {Status: 404, Code: CodeStatus},
		"/410/-":   {Status: 410, Code: CodeGone},
		"/429/120": {Status: 429, Code: CodeStatus, RetryAfter: 2 * time.Minute},
		"/503/-7":  {Status: 503, Code: CodeStatus},
	} {
		if got := testSender(t).once(t.Context(), "id", sink.URL+path, nil); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 31, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "1.5": 0, "x": 0, "99999999999999999999": 0,
		"Thu, 31 Jan 2030 08:01:00 GMT": time.Minute, "Thu, 31 Jan 2030 07:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("7")
	f.Add("Thu, 31 Jan 2030 08:01:00 GMT")
	f.Fuzz(func(t *testing.T, text string) {
		if d := retryAfter(text, time.Unix(1_900_000_000, 0)); d < 0 {
			t.Fatalf("%q: %v", text, d)
		}
	})
}

// TestNoAnswer names each way to get none, and tells no URL.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = quiet()
	secure.StartTLS() // its certificate is nobody's
	defer secure.Close()
	for to, want := range map[string]Code{
		"http://" + closed.Addr().String():          CodeConnection,
		"https://" + plain.Listener.Addr().String(): CodeTLS,
		secure.URL:                               CodeTLS,
		"http://10.1.2.3/?token=hunter2":         CodeAddress,
		"http://[::ffff:169.254.169.254]/latest": CodeAddress,
		"http://no-such-host.invalid/hunter2":    CodeAddress,
		"http://127.0.0.1:6379/hunter2":          CodeAddress,
		"http://127.0.0.1:06379/hunter2":         CodeAddress,
		"http://127.0.0.1:99999/hunter2":         CodeConnection,
		"http://127.0.0.1:80\x00/hunter2":        CodeURL,
	} {
		got := testSender(t).once(t.Context(), "id", to, nil)
		if got.Code != want || got.Status != 0 {
			t.Errorf("%s: %+v, want %s", to, got, want)
		}
		if got.Err != nil && strings.Contains(got.Err.Error(), "hunter2") {
			t.Errorf("the error tells the URL: %v", got.Err)
		}
	}
}

func TestNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	if testSender(t).client.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy would resolve names behind the guard's back")
	}
}

// TestHTTP2 posts twice to a server that speaks HTTP/2.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	versions := make(chan string, 2)
	sink := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		versions <- r.Proto
	}))
	sink.EnableHTTP2 = true
	sink.StartTLS()
	defer sink.Close()
	s := testSender(t)
	s.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: sink.Client().
		Transport.(*http.Transport).TLSClientConfig.RootCAs}
	for range 2 {
		if r := s.once(t.Context(), "id", sink.URL, []byte("{}")); r.Code != "" {
			t.Fatalf("result %+v", r)
		}
		if v := <-versions; v != "HTTP/2.0" {
			t.Errorf("spoke %s", v)
		}
	}
}

// TestEndlessAnswer has a receiver that never stops: it took the callback with
// its header, and no more than the limit is read.
func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	sent := make(chan int, 1)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := 0
		for {
			m, err := w.Write(make([]byte, 64<<10))
			if n += m; err != nil || n > 64<<20 {
				sent <- n
				return
			}
		}
	}))
	defer sink.Close()
	if r := testSender(t).once(t.Context(), "id", sink.URL, nil); r.Code != "" || r.Status != 200 {
		t.Errorf("result %+v", r)
	}
	if n := <-sent; n > 32<<20 {
		t.Errorf("receiver could send %d bytes", n)
	}
}

// TestSilence holds the time limit of an attempt, in virtual time: for a
// receiver that takes no connection, sends no header, or sends its body drop by drop.
func TestSilence(t *testing.T) {
	t.Parallel()
	for name, talk := range map[string]func(net.Conn){
		"silent": func(c net.Conn) { io.Copy(io.Discard, c) },
		"slow": func(c net.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"); err != nil {
				return
			}
			for {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var talks sync.WaitGroup
				s, err := NewSender(Config{Secrets: []string{secretA},
					Resolver: names{"receiver.example": {netip.MustParseAddr("1.1.1.1")}}})
				if err != nil {
					t.Fatal(err)
				}
				s.client.Transport.(*http.Transport).DialContext = func(context.Context, string,
					string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					talks.Go(func() {
						defer theirs.Close()
						talk(theirs)
					})
					return ours, nil
				}
				began := time.Now()
				r := s.once(t.Context(), "id", "http://receiver.example/", []byte("{}"))
				if took := time.Since(began); r.Code != CodeTimeout || took != attemptTimeout ||
					r.Status != 0 {
					t.Errorf("result %+v after %v", r, took)
				}
				if !errors.Is(r.Err, context.DeadlineExceeded) {
					t.Errorf("error %v", r.Err)
				}
				s.CloseIdleConnections()
				talks.Wait()
			})
		})
	}
}
