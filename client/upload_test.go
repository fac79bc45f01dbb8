package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/job"
)

// pieces plays a server of tus. Each PATCH takes as many bytes as cuts says,
// then the connection breaks; beyond the last one they take all.
type pieces struct {
	mu       sync.Mutex // one request may be given up while the next one is here
	size     int64
	got      []byte
	cuts     []int64
	refuse   map[string][]int // statuses by method, one a request
	metadata map[string]string
	keys     map[string]bool
	asked    []string
}

// methods are those of the requests that have come.
func (p *pieces) methods() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *pieces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, r.Method)
	h := w.Header()
	if list := p.refuse[r.Method]; len(list) > 0 && r.URL.Path != httpapi.SubmitPath("file.checksum") {
		p.refuse[r.Method] = list[1:]
		if list[0] != 0 {
			refuse(w, httpapi.NewError(httpapi.Conflict, "").WithStatus(list[0]))
			return
		}
	}
	switch r.Method {
	case http.MethodPost:
		if r.URL.Path == httpapi.SubmitPath("file.checksum") { // in one
			p.got, _ = io.ReadAll(r.Body)
			reply(w, http.StatusAccepted, job.Snapshot{ID: testID, State: job.Queued})
			return
		}
		p.size, _ = strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64)
		p.keys[r.Header.Get(httpapi.HeaderIdempotencyKey)] = true
		for pair := range strings.SplitSeq(r.Header.Get("Upload-Metadata"), ",") {
			key, text, _ := strings.Cut(pair, " ")
			value, _ := base64.StdEncoding.DecodeString(text)
			p.metadata[key] = string(value)
		}
		h.Set(httpapi.HeaderJob, string(testID))
		w.WriteHeader(http.StatusCreated)
	case http.MethodHead:
		h.Set("Upload-Offset", strconv.Itoa(len(p.got)))
	case http.MethodPatch:
		if r.Header.Get("Upload-Offset") != strconv.Itoa(len(p.got)) {
			refuse(w, httpapi.NewError(httpapi.Conflict, "another offset"))
			return
		}
		if len(p.cuts) > 0 {
			piece, _ := io.ReadAll(io.LimitReader(r.Body, p.cuts[0]))
			p.got, p.cuts = append(p.got, piece...), p.cuts[1:]
			panic(http.ErrAbortHandler)
		}
		piece, _ := io.ReadAll(r.Body)
		p.got = append(p.got, piece...)
		h.Set("Upload-Offset", strconv.Itoa(len(p.got)))
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		reply(w, http.StatusOK, job.Snapshot{ID: testID, State: job.Queued})
	case http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	}
}

func TestUpload(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	tests := map[string]struct {
		cuts   []int64
		refuse map[string][]int
		status int    // of the error; 0 = success
		last   string // request
	}{
		"in one go": {nil, nil, 0, "GET"},
		"cut":       {[]int64{400_000, 0, 1, 300_000}, nil, 0, "GET"},
		"no server for now": {[]int64{7}, map[string][]int{"POST": {503, 502}, "HEAD": {503, 423},
			"PATCH": {0, 409, 503, 507, 500}}, 0, "GET"},
		"canceled":           {[]int64{7}, map[string][]int{"HEAD": {0, 410}}, 410, "DELETE"},
		"canceled under way": {nil, map[string][]int{"PATCH": {410}}, 410, "DELETE"},
		"wrong type":         {nil, map[string][]int{"POST": {422}}, 422, "POST"},
		"no pieces there":    {nil, map[string][]int{"POST": {501}}, 0, "POST"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &pieces{cuts: test.cuts, refuse: test.refuse, metadata: map[string]string{},
				keys: map[string]bool{}}
			c, _ := serve(t, p.ServeHTTP)
			snap, err := c.Upload(t.Context(),
				Submission{Type: "file.checksum", Payload: map[string]int{"n": 1}, Filename: "a b",
					Timeout: time.Minute, ContentType: "text/plain"}, bytes.NewReader(data), int64(len(data)))
			if asked := p.methods(); asked[len(asked)-1] != test.last {
				t.Errorf("asked %v, want %s at the end", asked, test.last)
			}
			if test.status != 0 {
				if refused := (*Error)(nil); !errors.As(err, &refused) || refused.Status != test.status {
					t.Errorf("err = %v, want status %d", err, test.status)
				}
				return
			}
			if err != nil || snap.ID != testID || !bytes.Equal(p.got, data) || len(p.keys) > 1 {
				t.Errorf("%+v, %v; %d of %d bytes, keys %v", snap, err, len(p.got), len(data), p.keys)
			}
			if name == "no pieces there" {
				return
			}
			want := map[string]string{"type": "file.checksum", "payload": `{"n":1}`, "filename": "a b",
				"filetype": "text/plain", "timeout": "1m"}
			if diff := cmp.Diff(want, p.metadata); diff != "" {
				t.Errorf("metadata (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUploadIsKept leaves an upload to a later call that knows its key, and not
// one that nobody could find again.
func TestUploadIsKept(t *testing.T) {
	t.Parallel()
	for key, dropped := range map[string]bool{"": true, "mine": false} {
		p := &pieces{refuse: map[string][]int{"PATCH": {503}}, metadata: map[string]string{},
			keys: map[string]bool{}}
		c, _ := serve(t, p.ServeHTTP)
		ctx, cancel := context.WithCancel(t.Context())
		c.onRetry = func(error, time.Duration) { cancel() }
		_, err := c.Upload(ctx, Submission{Type: "file.checksum", IdempotencyKey: key},
			strings.NewReader("abc"), 3)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
		if asked := p.methods(); (asked[len(asked)-1] == http.MethodDelete) != dropped {
			t.Errorf("key %q: asked %v", key, asked)
		}
		cancel()
	}
}

// TestUploadOfAShrunkFile stops at once: no repeat would help.
func TestUploadOfAShrunkFile(t *testing.T) {
	t.Parallel()
	p := &pieces{metadata: map[string]string{}, keys: map[string]bool{}}
	c, pauses := serve(t, p.ServeHTTP)
	_, err := c.Upload(t.Context(), Submission{Type: "file.checksum"}, strings.NewReader("abc"), 5)
	if err == nil || !strings.Contains(err.Error(), "2 bytes shorter") || pauses.Load() != 0 {
		t.Errorf("%v after %d pauses", err, pauses.Load())
	}
}
