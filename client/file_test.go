package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"longshore/internal/httpapi"
)

// files serves one output; every answer breaks off after cut bytes. Each range
// asked for is noted.
type files struct {
	content []byte
	cut     int // 0 = never
	etag    string
	digest  string // "" = the right one
	ranges  []string
	norange bool
}

func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/gzip")
	h.Set("Content-Disposition", `attachment; filename="out.gz"`)
	h.Set("ETag", f.etag)
	sum := sha256.Sum256(f.content)
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	if f.digest != "" {
		digest = f.digest
	}
	h.Set(httpapi.HeaderReprDigest, digest)
	rest, status := f.content, http.StatusOK
	if asked := r.Header.Get("Range"); asked != "" && !f.norange {
		f.ranges = append(f.ranges, asked+" if "+r.Header.Get("If-Range"))
		var from int
		fmt.Sscanf(asked, "bytes=%d-", &from)
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(f.content)-1, len(f.content)))
		rest, status = f.content[from:], http.StatusPartialContent
	}
	h.Set("Content-Length", fmt.Sprint(len(rest)))
	w.WriteHeader(status)
	if f.cut > 0 && f.cut < len(rest) {
		w.Write(rest[:f.cut])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(rest)
}

func TestOutput(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("longshore "), 5000)
	tests := map[string]struct {
		files files
		tries int // ranges asked for
		want  string
	}{
		"in one":     {files{content: content, etag: `"a"`}, 0, ""},
		"broken off": {files{content: content, etag: `"a"`, cut: 20000}, 2, ""},
		"no tag":     {files{content: content, cut: 20000}, 0, "unexpected EOF"},
		"no ranges": {files{content: content, etag: `"a"`, cut: 20000, norange: true}, 0,
			"can't be continued"},
		"other bytes": {files{content: content, etag: `"a"`, digest: "sha-256=:" +
			strings.Repeat("A", 43) + "=:"}, 0, "digest"},
		"an unknown digest": {files{content: content, etag: `"a"`, digest: "md5=:AAAA:"}, 0, ""},
		"empty":             {files{etag: `"a"`}, 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := serve(t, test.files.ServeHTTP)
			f, err := c.Output(t.Context(), testID, "out.gz")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Name != "out.gz" || f.Size != int64(len(test.files.content)) {
				t.Errorf("file %q of %d bytes", f.Name, f.Size)
			}
			got, err := io.ReadAll(f)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("err = %v, want %q", err, test.want)
				}
				return
			}
			if err != nil || !bytes.Equal(got, test.files.content) {
				t.Errorf("read %d bytes of %d, %v", len(got), len(test.files.content), err)
			}
			if len(test.files.ranges) != test.tries {
				t.Errorf("ranges = %q", test.files.ranges)
			}
		})
	}
}

func TestResultTooEarly(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, httpapi.NewError(httpapi.Conflict, "the job has not ended"))
	})
	_, err := c.Result(t.Context(), testID)
	var e *Error
	if !errors.As(err, &e) || e.Code != Conflict {
		t.Errorf("err = %v", err)
	}
}
