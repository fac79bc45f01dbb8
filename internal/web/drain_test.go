package web_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
)

// TestStopDrains stops a server with two idle connections. The one that is used in that
// moment is answered, and told to close; the other one isn't closed before a second.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, served, stop := b.serve()
	defer stop()
	address := strings.TrimPrefix(url, "http://")
	var conns []net.Conn
	var ins []*bufio.Reader
	ask := func(i int) *http.Response {
		t.Helper()
		if _, err := fmt.Fprintf(conns[i],
			"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", httpapi.PathJobs,
			len(goodLine), goodLine); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(ins[i], nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	for i := range 2 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(60 * time.Second))
		conns, ins = append(conns, conn), append(ins, bufio.NewReader(conn))
		if resp := ask(i); resp.Close || resp.StatusCode != http.StatusAccepted {
			t.Fatalf("%s, close %t", resp.Status, resp.Close)
		}
	}
	began := time.Now()
	stop()
	for { // till it takes no more connections
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		conn.Close()
	}
	if resp := ask(0); resp.StatusCode != http.StatusAccepted || !resp.Close {
		t.Errorf("while it stops: %s, close %t", resp.Status, resp.Close)
	}
	for i, in := range ins {
		if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("connection %d ends with %v", i, err)
		}
		if took := time.Since(began); i == 1 && (took < time.Second || took > 20*time.Second) {
			t.Errorf("the idle connection was closed after %v", took)
		}
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
