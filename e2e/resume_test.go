//go:build linux

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/blob/bucket/buckettest"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A fleet is web processes that are killed now and then. Another one takes the
// place of each, on another port.
type fleet struct {
	mu   sync.Mutex
	webs []*webProcess
	dead chan struct{}

	kills, atEnd, ownEnd atomic.Int64
}

type webProcess struct {
	*process
	url  string
	once sync.Once
}

// any returns one that was not killed yet.
func (f *fleet) any(rng *rand.Rand) *webProcess {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.webs[rng.IntN(len(f.webs))]
}

// kill kills one, unless it is the last.
func (f *fleet) kill(w *webProcess) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.webs) < 2 {
		return false
	}
	killed := false
	w.once.Do(func() {
		for i := range f.webs {
			if f.webs[i] == w {
				f.webs = append(f.webs[:i:i], f.webs[i+1:]...)
				break
			}
		}
		w.signal(syscall.SIGKILL)
		f.kills.Add(1)
		f.dead <- struct{}{}
		killed = true
	})
	return killed
}

func (f *fleet) start(t *testing.T, in *installation) {
	p, url := in.web(t)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.webs = append(f.webs, &webProcess{process: p, url: url})
}

// A shelf is where a blob store keeps what it has, as a test can see it.
type shelf struct {
	partial func(id job.ID) (size int64, there bool) // of an upload in pieces
	files   func(t *testing.T) []string              // inputs, and partial/… for each upload
}

// A sending is one upload under attack.
type sending struct {
	fleet *fleet
	shelf shelf
	rng   *rand.Rand
	id    job.ID
	content
	acked int64 // the highest offset that a server told
	cuts  int   // connections that were cut once bytes, or at least the header, were sent
}

// sizes draws log-uniform sizes of 1 B to 200 MB as long as their sum stays below total.
func sizes(rng *rand.Rand, most int, total int64) (list []int64) {
	for range most {
		size := int64(math.Exp(rng.Float64() * math.Log(200e6)))
		if size = max(1, size); size <= total {
			list, total = append(list, size), total-size
		}
	}
	return list
}

// TestResumedUploads cuts each upload five times at random offsets, and more
// where web processes are killed, also with the last byte. Each is resumed
// through another process. LONGSHORE_UPLOADS=full makes it 200 uploads of up to
// 4 GB in all.
func TestResumedUploads(t *testing.T) {
	t.Parallel()
	most, total := 40, int64(250e6)
	if os.Getenv("LONGSHORE_UPLOADS") == "full" {
		most, total = 200, 4e9
	}
	in := install(t, "LOG_LEVEL=info")
	resumeUploads(t, in, most, total, shelf{files: in.files, partial: func(id job.ID) (int64, bool) {
		files, _ := filepath.Glob(in.blobs + "/partial/3-" + string(id) + "*")
		if len(files) == 0 {
			return 0, false
		}
		info, err := os.Stat(files[0])
		return size(info), err == nil
	}})
}

func size(info os.FileInfo) int64 {
	if info == nil {
		return 0
	}
	return info.Size()
}

// TestResumedUploadsInBucket is the same with the files of jobs in a bucket.
func TestResumedUploadsInBucket(t *testing.T) {
	t.Parallel()
	most, total := 20, int64(80e6)
	if os.Getenv("LONGSHORE_UPLOADS") == "full" {
		most, total = 200, 4e9
	}
	in, server := installInBucket(t, "LOG_LEVEL=info")
	resumeUploads(t, in, most, total, shelf{
		files: func(t *testing.T) (files []string) {
			names, parts := stored(t, server)
			for _, name := range names {
				if !strings.HasPrefix(name, "partial/") || strings.HasSuffix(name, "/state") {
					files = append(files, name)
				}
			}
			t.Logf("%d parts of uploads left", parts)
			return files
		},
		partial: func(id job.ID) (sum int64, there bool) {
			key := sha256.Sum256([]byte("shore/jobs/3-" + string(id) + "/in")) // as the server names it
			parts, _ := filepath.Glob(filepath.Join(server.Folder, buckettest.Bucket, ".sgwtmp/multipart",
				hex.EncodeToString(key[:]), "*", "*"))
			for _, part := range parts {
				info, _ := os.Stat(part)
				sum += size(info)
			}
			_, err := os.Stat(filepath.Join(server.Folder, buckettest.Bucket, "shore/jobs", "3-"+string(id),
				"in"))
			return sum, err != nil
		},
	})
}

func resumeUploads(t *testing.T, in *installation, most int, total int64, kept shelf) {
	const atOnce, webs = 4, 3
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	in.worker(t)
	f := &fleet{dead: make(chan struct{}, 1000)}
	for range webs {
		f.start(t, in)
	}
	noise := make([]byte, 8<<20+13)
	chacha := rand.NewChaCha8([32]byte{7})
	chacha.Read(noise)

	var all []*sending
	var sum int64
	for _, size := range sizes(rng, most, total) {
		all = append(all, &sending{fleet: f, shelf: kept, rng: rand.New(rand.NewPCG(rng.Uint64(), 2)),
			id:      job.NewID(time.Now()),
			content: content{noise, rng.Int64N(int64(len(noise))), size}})
		sum += size
	}
	begun := time.Now()
	queue, errs := make(chan *sending), make(chan error, len(all))
	for range atOnce {
		go func() {
			for s := range queue {
				err := s.run(t.Context())
				if err != nil {
					err = fmt.Errorf("upload %s of %d bytes: %w", s.id, s.size, err)
				}
				errs <- err
			}
		}()
	}
	go func() {
		defer close(queue)
		for _, s := range all {
			queue <- s
		}
	}()
	f.attack(t, in, rng, errs, len(all))

	cuts, fewest := 0, math.MaxInt
	for _, s := range all {
		cuts, fewest = cuts+s.cuts, min(fewest, s.cuts)
	}
	t.Logf(
		"%d uploads, %d MB, in %v: %d cuts, at least %d each, %d kills of web, %d of them with the last byte there; %d finished by others",
		len(all), sum/1e6, time.Since(begun).Round(time.Second), cuts, fewest, f.kills.Load(), f.atEnd.Load(),
		f.ownEnd.Load())
	if fewest < 5 || f.kills.Load() < 3 || f.atEnd.Load() == 0 {
		t.Error("the attack did not hit: this run says nothing")
	}
	f.verify(t, in, kept, all)
}

// attack kills a web process now and then, replaces the dead, and collects the
// ends of n uploads.
func (f *fleet) attack(t *testing.T, in *installation, rng *rand.Rand, errs chan error, n int) {
	next := time.NewTimer(time.Second)
	defer next.Stop()
	for n > 0 {
		select {
		case err := <-errs:
			if n--; err != nil {
				t.Error(err)
			}
		case <-f.dead:
			f.start(t, in)
		case <-next.C:
			f.kill(f.any(rng))
			next.Reset(time.Duration(500+rng.IntN(3000)) * time.Millisecond)
		}
	}
}

// verify compares the digests, counts the jobs, and looks for what was left behind.
func (f *fleet) verify(t *testing.T, in *installation, kept shelf, all []*sending) {
	f.start(t, in)
	c := clientOf(t, f.webs[len(f.webs)-1].url)
	for _, s := range all {
		snap := wait(t, c, s.id)
		digest := sha256.New()
		io.Copy(digest, s.from(0, s.size))
		var result struct {
			Bytes  int64
			SHA256 string
		}
		if err := json.Unmarshal(snap.Result, &result); err != nil || snap.State != job.Succeeded ||
			snap.Attempt != 1 {
			t.Errorf("job of %d bytes ended as %+v", s.size, snap)
		} else if result.Bytes != s.size || result.SHA256 != hex.EncodeToString(digest.Sum(nil)) {
			t.Errorf("job of %d bytes: digest of %d bytes differs", s.size, result.Bytes)
		}
	}
	inputs, orphans := 0, int64(0)
	for _, name := range kept.files(t) {
		if strings.HasPrefix(name, "partial/") {
			orphans++ // its process died before there was a record: swept after an hour
		} else {
			inputs++
		}
	}
	if inputs != len(all) || orphans > f.kills.Load() {
		t.Errorf("%d files and %d orphans for %d inputs", inputs, orphans, len(all))
	}
	jobs := 0
	for _, err := range c.List(t.Context(), client.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		jobs++
	}
	if jobs != len(all) {
		t.Errorf("%d jobs of %d uploads", jobs, len(all))
	}
}

// run creates the upload and sends it, from wherever the server says that it
// is, until that says that it is whole.
func (s *sending) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := s.again(ctx, func(w *webProcess) (bool, error) {
		r, err := createUpload(w.url, s.id, s.size, "type", "file.checksum", "filename", "f")
		return err == nil && r.StatusCode == http.StatusCreated, refused(r, err)
	}); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	for {
		offset := int64(-1)
		if err := s.again(ctx, func(w *webProcess) (bool, error) {
			r, err := tusRequest(w.url, "HEAD", httpapi.UploadPath(s.id), nil, nil, 0, 0, nil)
			if err != nil || r.StatusCode != http.StatusOK {
				return false, refused(r, err)
			}
			offset, _ = offsetOf(r)
			return true, nil
		}); err != nil {
			return fmt.Errorf("ask for the offset: %w", err)
		}
		if err := s.ack(offset); err != nil {
			return err
		}
		if offset == s.size {
			return nil
		}
		if err := s.patch(offset); err != nil {
			return err
		}
	}
}

// ack notes an offset that a server told: it never goes back.
func (s *sending) ack(offset int64) error {
	if offset < s.acked || offset > s.size {
		return fmt.Errorf("offset %d of %d after %d was acknowledged", offset, s.size, s.acked)
	}
	s.acked = offset
	return nil
}

// patch sends some of what is left, and cuts. What may go wrong then does.
func (s *sending) patch(offset int64) error {
	w, left := s.fleet.any(s.rng), s.size-offset
	send, last := left, s.cuts >= 5
	if !last {
		send = s.rng.Int64N(min(left, left/int64(5-s.cuts)+1)) // never all; of a single byte only the header
	}
	killing := last && s.rng.IntN(3) == 0
	r, err := tusRequest(w.url, "PATCH", httpapi.UploadPath(s.id),
		[]string{fmt.Sprint("Upload-Offset: ", offset)}, s.from(offset, left), left, send, func() bool {
			if killing {
				s.killAtEnd(w)
			}
			cut := !last || s.rng.IntN(8) == 0
			if cut {
				s.cuts++
			}
			return cut
		})
	if err != nil {
		return nil // cut, by us or with its server
	}
	if got, ok := offsetOf(r); ok {
		return s.ack(got)
	}
	if r.StatusCode >= 500 || r.StatusCode == http.StatusConflict || r.StatusCode == http.StatusLocked {
		return nil
	}
	return refused(r, nil)
}

// killAtEnd kills the process as soon as the last byte has reached the disk's
// cache, or the bucket, which is before it has become a job.
func (s *sending) killAtEnd(w *webProcess) {
	look := time.NewTicker(100 * time.Microsecond)
	defer look.Stop()
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); <-look.C {
		n, there := s.shelf.partial(s.id)
		if !there {
			return // too late, it is a blob
		}
		if n == s.size {
			if s.fleet.kill(w) {
				s.fleet.atEnd.Add(1)
				if _, there := s.shelf.partial(s.id); there {
					s.fleet.ownEnd.Add(1)
				}
			}
			return
		}
	}
}

// again asks one process after the other until one gives an answer that will do.
func (s *sending) again(ctx context.Context, ask func(*webProcess) (bool, error)) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		ok, err := ask(s.fleet.any(s.rng))
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// refused is the error of an answer after which a client gives up, as those of
// tus do: not of a cut, of 409, 423 and 5xx.
func refused(r *http.Response, err error) error {
	if err != nil || r.StatusCode < 400 || r.StatusCode >= 500 || r.StatusCode == 409 || r.StatusCode == 423 {
		return nil
	}
	return errors.New(r.Status)
}
