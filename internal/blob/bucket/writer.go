package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"longshore/internal/blob"
)

const (
	// smallBuf is what a writer starts with; most blobs are small.
	smallBuf = 64 << 10
	maxParts = 10_000 // of one object, S3's limit
	// cleanupTimeout bounds what is done for a blob that came to nothing.
	cleanupTimeout = 20 * time.Second
	// partPatience is how long an Abort lets parts arrive that are on their way.
	partPatience = 5 * time.Second
	// tokenKey names the metadata by which a writer knows its own object.
	tokenKey = "longshore-writer"
)

// A writer writes one blob. It gathers a part, and sends it while it gathers
// the next one.
type writer struct {
	ctx    context.Context // of Create: it governs all of the writing
	store  *Store
	name   string
	key    string
	token  string // random
	part   *[]byte
	digest *blob.Digest
	err    error // the first failure; later calls return it
	ended  bool
	asked  bool // the object may be there

	upload  string          // "" while all may fit into one part
	parts   context.Context // of the parts on their way; ended by stop
	stop    context.CancelFunc
	sending sync.WaitGroup
	mu      sync.Mutex // guards the fields below: parts end in any order
	sent    []types.CompletedPart
	failed  error
}

func newWriter(ctx context.Context, s *Store, name string) *writer {
	parts, stop := context.WithCancel(context.WithoutCancel(ctx))
	small := make([]byte, 0, min(smallBuf, s.partSize))
	return &writer{ctx: ctx, parts: parts, stop: stop, store: s, name: name, key: s.key(name),
		token: rand.Text(), part: &small, digest: blob.NewDigest()}
}

func (w *writer) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if err := w.usable("write"); err != nil {
			return n, err
		}
		if err := w.room(len(p) - n); err != nil {
			w.err = fmt.Errorf("write blob %s: %w", w.name, storeError(w.ctx, err))
			return n, w.err
		}
		piece := p[n:min(len(p), n+cap(*w.part)-len(*w.part))]
		*w.part = append(*w.part, piece...)
		_, _ = w.digest.Write(piece)
		n += len(piece)
	}
	return n, nil
}

// usable returns the error of a writer that can't go on.
func (w *writer) usable(action string) error {
	w.mu.Lock()
	failed := w.failed
	w.mu.Unlock()
	switch {
	case w.err != nil:
	case w.ended:
		return fmt.Errorf("%s blob %s: %w", action, w.name, os.ErrClosed)
	case failed != nil:
		w.err = fmt.Errorf("%s blob %s: %w", action, w.name, failed)
	case w.ctx.Err() != nil:
		w.err = fmt.Errorf("%s blob %s: %w", action, w.name, context.Cause(w.ctx))
	}
	return w.err
}

// room makes room for at least one byte of the n that come.
func (w *writer) room(n int) error {
	have := len(*w.part)
	switch {
	case have+n <= cap(*w.part):
		return nil
	case cap(*w.part) < int(w.store.partSize): // the small buffer is full
		part := w.store.parts.Get().(*[]byte)
		*part = append((*part)[:0], *w.part...)
		w.part = part
		return nil
	case have < cap(*w.part):
		return nil
	}
	if err := w.send(); err != nil {
		return err
	}
	w.part = w.store.parts.Get().(*[]byte)
	*w.part = (*w.part)[:0]
	return nil
}

// send sends the gathered part on its way, and takes it over.
func (w *writer) send() error {
	if w.upload == "" {
		if err := w.begin(); err != nil {
			return err
		}
	}
	number := len(w.sent) + 1
	if number > maxParts {
		return fmt.Errorf("%w: more than %d parts of %d MiB; part_size in BLOB_URL makes them larger",
			blob.ErrNoSpace, maxParts, w.store.partSize>>20)
	}
	select {
	case w.store.flight <- struct{}{}:
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
	w.mu.Lock()
	w.sent = append(w.sent, types.CompletedPart{PartNumber: aws.Int32(int32(number))})
	w.mu.Unlock()
	part := w.part
	w.part = new([]byte)
	w.sending.Go(func() {
		etag, err := w.sendPart(*part, number)
		if cap(*part) == int(w.store.partSize) {
			w.store.parts.Put(part)
		}
		<-w.store.flight
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sent[number-1].ETag = etag
		if err != nil && w.failed == nil {
			w.failed = storeError(w.ctx, err)
		}
	})
	return nil
}

// begin starts a multipart upload.
func (w *writer) begin() error {
	out, err := w.store.api.CreateMultipartUpload(w.ctx,
		&s3.CreateMultipartUploadInput{Bucket: &w.store.bucket, Key: &w.key,
			Metadata: map[string]string{tokenKey: w.token}})
	if err == nil {
		w.upload = aws.ToString(out.UploadId)
	}
	return err
}

func (w *writer) sendPart(part []byte, number int) (etag *string, err error) {
	out, err := w.store.api.UploadPart(w.parts, &s3.UploadPartInput{Bucket: &w.store.bucket, Key: &w.key,
		UploadId:   &w.upload,
		PartNumber: aws.Int32(int32(number)), Body: bytes.NewReader(part)})
	if err != nil {
		return nil, err
	}
	return out.ETag, nil
}

// Commit makes the blob durable and visible.
func (w *writer) Commit() (blob.Info, error) {
	defer func() { _ = w.Abort() }() // after success it has nothing left to do
	if err := w.usable("commit"); err != nil {
		return blob.Info{}, err
	}
	if err := w.finish(); err != nil {
		w.err = fmt.Errorf("commit blob %s: %w", w.name, storeError(w.ctx, err))
		return blob.Info{}, w.err
	}
	w.upload, w.asked = "", false
	return w.digest.Info(), nil
}

// finish puts a blob of one part, or completes the upload.
func (w *writer) finish() error {
	if w.upload == "" {
		w.asked = true
		_, err := w.store.api.PutObject(w.ctx, &s3.PutObjectInput{Bucket: &w.store.bucket, Key: &w.key,
			Body: bytes.NewReader(*w.part), Metadata: map[string]string{tokenKey: w.token}})
		return err
	}
	if len(*w.part) > 0 {
		if err := w.send(); err != nil {
			return err
		}
	}
	if err := w.arrived(); err != nil {
		return err
	}
	w.asked = true
	_, err := w.store.api.CompleteMultipartUpload(w.ctx,
		&s3.CompleteMultipartUploadInput{Bucket: &w.store.bucket, Key: &w.key,
			UploadId: &w.upload, MultipartUpload: &types.CompletedMultipartUpload{Parts: w.sent}})
	if noSuchUpload(err) && w.published(w.ctx) {
		return nil // an earlier try was heard, and its answer lost
	}
	return err
}

// arrived waits for the parts on their way.
func (w *writer) arrived() error {
	defer context.AfterFunc(w.ctx, w.stop)()
	w.sending.Wait()
	return w.failed
}

// published reports whether the object is there, and ours.
func (w *writer) published(ctx context.Context) bool {
	out, err := w.store.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &w.store.bucket, Key: &w.key})
	return err == nil && out.Metadata[tokenKey] == w.token
}

// Abort throws away what was written.
func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	// A part that is cut off might still arrive, after the upload's end.
	impatience := time.AfterFunc(partPatience, w.stop)
	w.sending.Wait()
	impatience.Stop()
	w.stop()
	if cap(*w.part) == int(w.store.partSize) {
		w.store.parts.Put(w.part)
	}
	w.part = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), cleanupTimeout)
	defer cancel()
	var errs []error
	if w.upload != "" {
		if err := w.store.abort(ctx, w.key, w.upload); err != nil && !noSuchUpload(err) {
			errs = append(errs, err) // the sweep gets it
		}
	}
	if w.asked && w.published(ctx) { // a Commit failed, and yet it was heard
		_, err := w.store.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &w.store.bucket, Key: &w.key})
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("abort blob %s: %w", w.name, storeError(ctx, err))
	}
	return nil
}
