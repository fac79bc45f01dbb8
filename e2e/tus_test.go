//go:build linux

package e2e

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// A content is the bytes of a file that nobody has to keep: those at an offset
// are found at once.
type content struct {
	noise []byte // repeated
	shift int64
	size  int64
}

// ReadAt never comes to the end within the size.
func (c content) ReadAt(p []byte, off int64) (int, error) {
	p = p[:max(0, min(int64(len(p)), c.size-off))]
	for n := 0; n < len(p); {
		at := (c.shift + off + int64(n)) % int64(len(c.noise))
		n += copy(p[n:], c.noise[at:])
	}
	if len(p) == 0 {
		return 0, io.EOF
	}
	return len(p), nil
}

// from is a reader of n bytes at an offset.
func (c content) from(off, n int64) io.Reader { return io.NewSectionReader(c, off, n) }

// metadata writes Upload-Metadata of pairs of a key and a value.
func metadata(pairs ...string) string {
	var all []string
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, pairs[i]+" "+base64.StdEncoding.EncodeToString([]byte(pairs[i+1])))
	}
	return strings.Join(all, ",")
}

const chunkType = "application/offset+octet-stream"

// tusRequest sends one request on a connection of its own. It sends only the
// first send bytes of a body that it announced as long, then calls sent, and
// cuts the connection where that says so. No answer, for whatever reason, is an
// error.
func tusRequest(url, method, path string, headers []string, body io.Reader, long, send int64,
	sent func() (cut bool)) (*http.Response, error) {
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "http://"), 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(90 * time.Second))
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\n",
		method, path)
	for _, h := range headers {
		head.WriteString(h + "\r\n")
	}
	if body != nil {
		fmt.Fprintf(&head, "Content-Type: %s\r\nContent-Length: %d\r\n", chunkType, long)
	}
	if _, err := io.WriteString(conn, head.String()+"\r\n"); err != nil {
		return nil, err
	}
	if body != nil {
		if _, err := io.CopyN(conn, body, send); err != nil {
			return nil, err
		}
	}
	if sent != nil && sent() {
		conn.(*net.TCPConn).SetLinger(0) // a reset: what is still under way is lost
		return nil, io.ErrUnexpectedEOF
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	io.Copy(io.Discard, r.Body)
	return r, r.Body.Close()
}

// offsetOf reads Upload-Offset.
func offsetOf(r *http.Response) (int64, bool) {
	n, err := strconv.ParseInt(r.Header.Get("Upload-Offset"), 10, 64)
	return n, err == nil
}

// createUpload begins an upload under an id of the client's choice, which makes
// a repeat harmless.
func createUpload(url string, id job.ID, size int64, pairs ...string) (*http.Response, error) {
	return tusRequest(url, "POST", httpapi.PathUploads,
		[]string{"Upload-Length: " + strconv.FormatInt(size, 10), "Content-Length: 0",
			"Upload-Metadata: " + metadata(pairs...), "Longshore-Job: " + string(id)}, nil, 0, 0, nil)
}
