//go:build linux

package e2e

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/internal/httpapi"
)

// bodies sends the proxy requests whose answer comes before their body's end, and
// another one on the same connection: it is answered as it should be, or the
// connection is at its end. What stands in the rest of a body is never a request,
// neither to web nor to the proxy, which shares its connections among clients.
func (f *throughProxy) bodies(t *testing.T) {
	const hidden = "GET /v1/types HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + webToken +
		"\r\n\r\n"
	body := strings.Repeat("x", 1000) + hidden
	post := func(path, more string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+webToken+"\r\n%s",
			path, more)
	}
	heads := map[string]string{
		"refused":    post("/v1/jobs/no.such", ""),
		"no route":   post("/nowhere", ""),
		"media type": post(httpapi.PathJobs, "Content-Type: text/html\r\n"),
		"encoded":    post(httpapi.SubmitPath("file.checksum"), "Content-Encoding: gzip\r\n"),
		"not wanted": "GET /v1/jobs?limit=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
			webToken + "\r\n",
		"malformed": post(httpapi.PathJobs, "Content-Type: application/json\r\n"),
		"bad form":  post(httpapi.SubmitPath("file.checksum"), "Content-Type: multipart/form-data\r\n"),
		"an upload": post(httpapi.SubmitPath("file.checksum"), ""),
		"tus, refused": "PATCH /v1/uploads/none HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
			webToken + "\r\nTus-Resumable: 1.0.0\r\n",
	}
	var all sync.WaitGroup
	defer all.Wait()
	for name, head := range heads {
		for _, at := range []int{0, 1, 1000, len(body)} {
			all.Go(func() { f.twice(t, fmt.Sprintf("%s, cut at %d", name, at), head, body, at, nil) })
		}
	}
	for _, at := range []int{0, 1, 999, 1000, 1010, len(body)} {
		created := request(t, "POST", f.url+httpapi.PathUploads, nil, "Authorization: Bearer "+webToken,
			"Tus-Resumable: 1.0.0", "Upload-Length: 100000", "Upload-Metadata: type "+
				base64.StdEncoding.EncodeToString([]byte("file.checksum")))
		path := created.Header.Get("Location")
		if path == "" {
			t.Fatalf("no upload: %s", created.Status)
		}
		head := "PATCH " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + webToken +
			"\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n" +
			"Content-Type: application/offset+octet-stream\r\n"
		all.Go(func() {
			f.twice(t, fmt.Sprintf("tus, taken over at %d", at), head, body, at, func() error {
				_, err := tryRequest(t, "HEAD", f.url+path, nil, "Authorization: Bearer "+webToken,
					"Tus-Resumable: 1.0.0")
				return err
			})
		})
	}
}

// twice sends a part of a body, meddles, and when it was answered, or was not for a
// moment, sends the rest and another request.
func (f *throughProxy) twice(t *testing.T, name, head, body string, at int, meddle func() error) {
	conn := f.dialFrom(t, "127.0.0.1")
	conn.SetDeadline(time.Now().Add(90 * time.Second))
	fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body[:at])
	answers := make(chan *http.Response, 3)
	go func() {
		defer close(answers)
		r := bufio.NewReader(conn)
		for range 3 {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				return
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body = io.NopCloser(strings.NewReader(string(text)))
			answers <- resp
			if resp.Close {
				return
			}
		}
	}()
	if meddle != nil {
		<-time.After(50 * time.Millisecond) // for what was sent to be there, mostly
		if err := meddle(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var first *http.Response
	select {
	case first = <-answers:
	case <-time.After(300 * time.Millisecond): // it waits for the rest, or the proxy does
	}
	io.WriteString(conn, body[at:]) // an error is that the connection has ended
	if first == nil {
		first = <-answers
	}
	io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+webToken+
		"\r\nConnection: close\r\n\r\n")
	second := <-answers
	if second == nil {
		return
	}
	text, _ := io.ReadAll(second.Body)
	if second.StatusCode != http.StatusOK || strings.Contains(string(text), `"types"`) {
		t.Errorf("%s: after %v the next request is answered %s %.100s", name, first, second.Status, text)
	}
	if third := <-answers; third != nil {
		t.Errorf("%s: a third answer: %s", name, third.Status)
	}
}
