//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"longshore/client"
	"longshore/job"
)

// TestStraightClient sends files by the Go client, to a bucket that loses and refuses parts, and where
// there is no bucket. A second call goes on where one that was given up stopped.
func TestStraightClient(t *testing.T) {
	t.Parallel()
	var puts, lost atomic.Int64
	in, server := installInBucket(t)
	proxy := before(t, server, func(r *http.Request, forward func()) {
		switch n := puts.Add(1); {
		case lost.Load() > 0 && n > lost.Load():
			_, _ = io.Copy(io.Discard, r.Body) // else nobody hears that the client has gone
			<-r.Context().Done()
		case n%7 == 1:
			panic(http.ErrAbortHandler)
		case n%7 == 4:
			forward()
			panic(http.ErrAbortHandler) // what was stored is found
		default:
			forward()
		}
	})
	in.env = append(in.env, "BLOB_URL="+server.URL("shore")+"&public_endpoint="+url.QueryEscape(proxy))
	_, web := in.web(t)
	in.worker(t)
	c := clientOf(t, web)
	noise := make([]byte, 92<<20+17)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(noise) // never fails
	sum := sha256.Sum256(noise)
	s := client.Submission{Type: "file.checksum", IdempotencyKey: "the file", Filename: "noise.bin"}

	lost.Store(8)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for tick := time.Tick(10 * time.Millisecond); puts.Load() < 12; <-tick {
		}
		cancel()
	}()
	_, err := c.UploadDirect(ctx, s, bytes.NewReader(noise), int64(len(noise)))
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "X-Amz") {
		t.Errorf("given up: %v", err)
	}
	lost.Store(0)
	snap, err := c.UploadDirect(t.Context(), s, bytes.NewReader(noise), int64(len(noise)))
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.UploadDirect(t.Context(), s, bytes.NewReader(noise), int64(len(noise)))
	if err != nil || again.ID != snap.ID {
		t.Errorf("again: %+v, %v", again, err)
	}
	snap = wait(t, c, snap.ID)
	if snap.State != job.Succeeded || !strings.Contains(string(snap.Result), hex.EncodeToString(sum[:])) {
		t.Errorf("job ended as %+v", snap)
	}
	if names, parts := stored(t, server); len(names) != 1 || parts != 0 {
		t.Errorf("stored: %v and %d parts", names, parts)
	}

	onDisk := install(t)
	_, disk := onDisk.web(t)
	onDisk.worker(t)
	c = clientOf(t, disk)
	if snap, err = c.UploadDirect(t.Context(), s, bytes.NewReader(noise), int64(len(noise))); err != nil {
		t.Fatal(err)
	}
	if snap = wait(t, c, snap.ID); !strings.Contains(string(snap.Result), hex.EncodeToString(sum[:])) {
		t.Errorf("on disk the job ended as %+v", snap)
	}
}

// TestStraightTypeScript sends a file by the TypeScript client, to a bucket that loses parts, and where
// there is none.
func TestStraightTypeScript(t *testing.T) {
	t.Parallel()
	dir := tsFolder(t)
	in, server := installInBucket(t)
	var puts atomic.Int64
	proxy := before(t, server, func(_ *http.Request, forward func()) {
		if puts.Add(1)%3 == 1 {
			panic(http.ErrAbortHandler)
		}
		forward()
	})
	in.env = append(in.env, "BLOB_URL="+server.URL("shore")+"&public_endpoint="+url.QueryEscape(proxy))
	const size = 17 << 20
	file, sum := someFile(t, size)
	for _, in := range []*installation{in, install(t)} {
		_, web := in.web(t)
		in.worker(t)
		var end struct {
			State, SHA256, Label string
			Told                 int
			Most                 int64
		}
		script(t, dir, nil, &end, "ts-direct.mjs", web, file)
		if end.State != string(job.Succeeded) || end.SHA256 != sum || end.Label != "a page" || end.Told < 3 || end.Most != size {
			t.Errorf("ended as %+v, want %s", end, sum)
		}
	}
	if puts.Load() < 4 {
		t.Errorf("%d parts were sent to the bucket", puts.Load())
	}
}
