package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"longshore/internal/blob"
	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/bucket"
	"longshore/internal/blob/bucket/buckettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, url string) *bucket.Store {
	t.Helper()
	s, err := tryOpen(t.Context(), url, buckettest.Access())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func tryOpen(ctx context.Context, url string, a bucket.Access) (*bucket.Store, error) {
	l, err := bucket.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return bucket.Open(ctx, l, a)
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(b) // never fails
	return b
}

// clean fails the test unless there are just these objects, and no parts.
func clean(t *testing.T, server *buckettest.Server, prefix string, want ...string) {
	t.Helper()
	objects, parts := server.Files(t, prefix)
	if want = append(want, "store-id"); !slices.Equal(objects, want) || len(parts) > 0 {
		t.Errorf("there are %v and parts %v, want %v", objects, parts, want)
	}
}

// arrived waits until a server has so many parts.
func arrived(t *testing.T, server *buckettest.Server, n int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for patience := time.After(90 * time.Second); ; {
		if _, parts := server.Files(t, ""); len(parts) >= n {
			return
		}
		select {
		case <-patience:
			t.Fatalf("%d parts don't arrive", n)
		case <-tick.C:
		}
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, server.URL(t.Name())) })
	blobtest.RunPieces(t, func(t *testing.T) blob.Store { return open(t, server.URL(t.Name())) })
	t.Cleanup(func() {
		if _, parts := server.Files(t, ""); len(parts) > 0 {
			t.Errorf("parts are left: %v", parts)
		}
	})
}

func TestID(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	id := blobtest.OneID(t, func() (*bucket.Store, error) {
		return tryOpen(t.Context(), server.URL("p"), buckettest.Access())
	})
	if other := open(t, server.URL("q")); other.ID() == id {
		t.Error("two places have one id")
	}
	if err := os.WriteFile(filepath.Join(server.Folder, buckettest.Bucket, "p", "store-id"), nil,
		0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := tryOpen(t.Context(), server.URL("p"), buckettest.Access()); !errors.Is(err,
		bucket.ErrSettings) {
		t.Errorf("a place with a damaged id: %v, %v", s, err)
	}
}

func TestOpenRefused(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	good := server.URL("p")
	for name, tt := range map[string]struct {
		url    string
		access bucket.Access
		is     error
		says   string
	}{
		"no bucket": {strings.Replace(good, "s3://blobs", "s3://hunter", 1), buckettest.Access(),
			bucket.ErrSettings, "no such bucket"},
		"wrong secret": {good, bucket.Access{KeyID: buckettest.KeyID, SecretKey: "hunter2"},
			bucket.ErrSettings, "refused"},
		"unknown key": {good, bucket.Access{KeyID: "nobody", SecretKey: "hunter2"}, bucket.ErrSettings,
			"refuse"},
		"no credentials": {good, bucket.Access{}, bucket.ErrSettings, "AWS_SECRET_ACCESS_KEY"},
		"another region": {strings.Replace(good, "us-east-1", "eu-west-9", 1), buckettest.Access(),
			bucket.ErrSettings, "region"},
		"nobody there": {"s3://blobs?endpoint=http://" + nobody.Addr().String(), buckettest.Access(),
			blob.ErrUnavailable, "refused"},
	} {
		s, err := tryOpen(t.Context(), tt.url, tt.access)
		if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) ||
			strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, %v, want one that says %q", name, s, err, tt.says)
		}
	}
}

// TestPages lists and deletes more than a page holds.
func TestPages(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	s := open(t, server.URL("p"))
	s.SetPageSize(2)
	for _, name := range []string{"a0/in", "a0/f/1", "a0/f/2", "a0/f/3", "a0/f/4", "a0b/in", "b7/in", "c/1",
		"c/2"} {
		blobtest.Put(t, s, name, name)
	}
	var jobs []string
	for job, err := range s.Jobs(t.Context(), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job)
	}
	slices.Sort(jobs)
	if want := []string{"a0", "a0b", "b7", "c"}; !slices.Equal(jobs, want) {
		t.Errorf("jobs %v, want %v", jobs, want)
	}
	if err := s.Delete(t.Context(), "a0"); err != nil {
		t.Fatal(err)
	}
	clean(t, server, "p", "jobs/a0b/in", "jobs/b7/in", "jobs/c/1", "jobs/c/2")
	var writers []blob.Writer
	for _, name := range []string{"d/1", "d/2", "d/3", "e/1", "e/2"} {
		w, err := s.Create(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		writers = append(writers, w)
		if _, err := w.Write(noise(5<<20 + 1)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.SweepTemp(t.Context(), time.Now().Add(time.Hour)); n != 5 || err != nil {
		t.Errorf("sweep = %d, %v, want 5", n, err)
	}
	for _, w := range writers {
		w.Abort()
	}
}

// TestSweepTemp sweeps what a killed process leaves behind.
func TestSweepTemp(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	s := open(t, server.URL("p"))
	w, err := s.Create(t.Context(), "a0/in")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(noise(12 << 20)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.SweepTemp(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("sweep of older ones = %d, %v", n, err)
	}
	arrived(t, server, 2) // a part that comes later than the sweep would be found by the next one
	elsewhere := open(t, server.URL("q"))
	if n, err := elsewhere.SweepTemp(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("sweep below another prefix = %d, %v", n, err)
	}
	if n, err := s.SweepTemp(t.Context(), time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("sweep = %d, %v, want 1", n, err)
	}
	if info, err := w.Commit(); err == nil {
		t.Errorf("Commit after the sweep = %v", info)
	}
	if err := w.Abort(); err != nil {
		t.Errorf("Abort = %v", err)
	}
	clean(t, server, "p")
}

// TestRanges reads pieces of a large blob, as ranges of a download do.
func TestRanges(t *testing.T) {
	t.Parallel()
	s := open(t, buckettest.Start(t).URL(""))
	content := noise(13<<20 + 5)
	blobtest.Put(t, s, "a0/in", string(content))
	r, err := s.Open(t.Context(), "a0/in")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, at := range []int64{13 << 20, 5<<20 - 1, 0, 7 << 20} {
		got := make([]byte, min(3<<20, len(content)-int(at)))
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, content[at:int(at)+len(got)]) {
			t.Errorf("%d bytes at %d: %v, or others", len(got), at, err)
		}
	}
	blobtest.Put(t, s, "a0/in", "replaced")
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err == nil {
		t.Errorf("read %d bytes of another blob", len(b))
	}
}

// TestSilentServer holds that a context ends what waits for a server that
// accepts connections and says nothing.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s, err := tryOpen(ctx, "s3://blobs?endpoint=http://"+l.Addr().String(), buckettest.Access())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("open = %v, %v", s, err)
	}
}

// TestSilence holds that a connection that carries nothing fails, and that one
// on which a body is slowly sent does not.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		conn := bucket.Sliding(near, bucket.Silence)
		start := time.Now()
		ended := make(chan error)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			ended <- err
		}()
		go io.Copy(io.Discard, far)
		for range 3 { // writes keep the waiting read alive
			time.Sleep(bucket.Silence - time.Second)
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read = %v", err)
		}
		if took := time.Since(start); took != 4*bucket.Silence-3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
