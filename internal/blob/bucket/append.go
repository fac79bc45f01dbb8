package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"longshore/internal/blob"
	"longshore/internal/loop"
)

// Append uploads whole parts while r goes on, and puts the bytes after the last
// of them into a tail, for the next Append to begin with. It holds one part in
// memory, beside one that may be on its way. Bytes that are there already are
// not written again, and none beyond the size is read.
func (s *Store) Append(ctx context.Context, name, token string, offset int64, r io.Reader) (int64, error) {
	a, err := s.appendTo(ctx, name, token)
	if err != nil {
		return 0, fmt.Errorf("append to partial blob %s: %w", name, pieceError(ctx, err))
	}
	defer context.AfterFunc(ctx, func() { time.AfterFunc(cleanupTimeout, a.stop) })()
	if a.have < offset {
		_ = a.end() // nothing was gathered
		return 0, fmt.Errorf("append to partial blob %s at %d: it is shorter (%w)", name, offset,
			io.ErrUnexpectedEOF)
	}
	skipped, cause := io.CopyN(io.Discard, r, a.have-offset)
	switch {
	case errors.Is(cause, io.EOF):
		cause = nil
	case cause == nil:
		cause = a.copy(r)
	}
	if err := a.end(); err != nil {
		cause = pieceError(ctx, err)
	}
	n := min(a.have-offset, skipped+a.read)
	if cause != nil {
		return n, fmt.Errorf("append to partial blob %s: %w", name, cause)
	}
	return n, nil
}

// An appender appends to a partial blob. Its fields belong to one goroutine.
type appender struct {
	*finding
	ctx   context.Context // of Append
	store *Store
	buf   *[]byte // gathered of the part that begins at base
	base  int64
	read  int64 // bytes that copy has read

	parts  context.Context // of the part on its way
	stop   context.CancelFunc
	sent   chan error // its outcome; nil = none is on its way
	upTo   int64      // where it ends
	failed error      // of the bucket: nothing more can be kept
}

// appendTo finds a partial blob and reads its tail back.
func (s *Store) appendTo(ctx context.Context, name, token string) (*appender, error) {
	for try := 0; ; try++ {
		f, err := s.find(ctx, name, token)
		if err != nil {
			return nil, err
		}
		parts, stop := context.WithCancel(context.WithoutCancel(ctx))
		a := &appender{finding: f, ctx: ctx, store: s, buf: new([]byte), base: f.whole, parts: parts,
			stop: stop}
		if f.have == f.whole {
			return a, nil
		}
		if err = a.readTail(); err == nil {
			return a, nil
		}
		a.release(a.buf)
		stop()
		if !notFound(err) || try == 3 { // else somebody has gone on from there
			return nil, err
		}
	}
}

func (a *appender) readTail() error {
	out, err := a.store.api.GetObject(a.ctx, &s3.GetObjectInput{Bucket: &a.store.bucket,
		Key: aws.String(tailKey(a.prefix, a.have))})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	n := a.have - a.whole
	for int64(cap(*a.buf)) < n {
		a.grow()
	}
	*a.buf = (*a.buf)[:n]
	if _, err := io.ReadFull(out.Body, *a.buf); err != nil {
		return fmt.Errorf("read tail: %w", err)
	}
	return nil
}

// limit is the size of the part that begins at base.
func (a *appender) limit() int64 { return min(a.PartSize, a.Size-a.base) }

// grow makes the buffer larger: small first, since many pieces are.
func (a *appender) grow() {
	var larger *[]byte
	switch part := a.store.partSize; {
	case cap(*a.buf) == 0:
		b := make([]byte, 0, min(smallBuf, a.limit()))
		larger = &b
	case a.limit() <= part && a.limit() > part/2:
		larger = a.store.parts.Get().(*[]byte)
	default:
		b := make([]byte, 0, a.limit())
		larger = &b
	}
	*larger = append((*larger)[:0], *a.buf...)
	a.release(a.buf)
	a.buf = larger
}

func (a *appender) release(buf *[]byte) {
	if cap(*buf) == int(a.store.partSize) {
		a.store.parts.Put(buf)
	}
}

// copy reads r to its end, to its error or to the blob's size.
func (a *appender) copy(r io.Reader) error {
	for a.base < a.Size {
		if a.ctx.Err() != nil {
			return context.Cause(a.ctx)
		}
		have := len(*a.buf)
		if have == cap(*a.buf) {
			a.grow()
		}
		n, err := r.Read((*a.buf)[have:min(int64(cap(*a.buf)), a.limit())])
		*a.buf = (*a.buf)[:have+n]
		a.read += int64(n)
		if int64(have+n) == a.limit() {
			if err := a.send(); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// send sends the gathered part on its way, when the one before it has arrived.
func (a *appender) send() error {
	if err := a.arrived(); err != nil {
		return err
	}
	select {
	case a.store.flight <- struct{}{}:
	case <-a.ctx.Done():
		return context.Cause(a.ctx)
	}
	buf, number := a.buf, int32(a.base/a.PartSize)+1
	a.upTo = a.base + int64(len(*buf))
	a.buf, a.base = new([]byte), a.upTo
	sent := make(chan error, 1)
	a.sent = sent
	go func() {
		err := a.sendPart(a.parts, *buf, number)
		a.release(buf)
		<-a.store.flight
		sent <- err
	}()
	return nil
}

func (a *appender) sendPart(ctx context.Context, part []byte, number int32) error {
	_, err := a.store.api.UploadPart(ctx, &s3.UploadPartInput{Bucket: &a.store.bucket, Key: &a.key,
		UploadId:   &a.Upload,
		PartNumber: &number, Body: bytes.NewReader(part)})
	return err
}

// arrived waits for the part on its way.
func (a *appender) arrived() error {
	if a.sent == nil {
		return a.failed
	}
	a.failed = <-a.sent
	a.sent = nil
	if a.failed == nil {
		a.have = a.upTo
	}
	return a.failed
}

// end keeps what was gathered, also for a caller that is in a hurry: it counts
// as what is there.
func (a *appender) end() error {
	defer func() { a.release(a.buf); a.stop() }()
	defer time.AfterFunc(cleanupTimeout, a.stop).Stop()
	if err := a.arrived(); err != nil {
		return err
	}
	if end := a.base + int64(len(*a.buf)); end > a.have {
		if a.failed = a.keep(end); a.failed != nil {
			return a.failed
		}
		a.have = end
	}
	if a.have < a.Size {
		a.deleteTails()
	}
	return nil
}

func (a *appender) keep(end int64) error {
	if int64(len(*a.buf)) == a.limit() { // it found no place on the way
		return a.sendPart(a.parts, *a.buf, int32(a.base/a.PartSize)+1)
	}
	_, err := a.store.api.PutObject(a.parts, &s3.PutObjectInput{Bucket: &a.store.bucket,
		Key:  aws.String(tailKey(a.prefix, end)),
		Body: bytes.NewReader(*a.buf)})
	return err
}

// deleteTails deletes tails whose bytes are kept elsewhere. Those that stay are
// deleted by the next Append, or with the partial blob.
func (a *appender) deleteTails() {
	doomed := &types.Delete{Quiet: aws.Bool(true)}
	for _, end := range a.tails {
		if end < a.have && len(doomed.Objects) < 1000 {
			doomed.Objects = append(doomed.Objects,
				types.ObjectIdentifier{Key: aws.String(tailKey(a.prefix, end))})
		}
	}
	if len(doomed.Objects) > 0 {
		_, _ = a.store.api.DeleteObjects(a.parts, &s3.DeleteObjectsInput{Bucket: &a.store.bucket,
			Delete: doomed})
	}
}

// completeTries is how often an upload is completed whose parts change
// meanwhile, or whose completion is under way elsewhere.
const completeTries = 4

// FinishPieces completes the multipart upload. Whoever finds it completed looks
// whether the blob is the one that was made from it.
func (s *Store) FinishPieces(ctx context.Context, name, token string) (blob.Info, error) {
	info, err := s.finishPieces(ctx, name, token, nil)
	if err != nil {
		return blob.Info{}, fmt.Errorf("finish blob %s: %w", name, pieceError(ctx, err))
	}
	return info, nil
}

// finishPieces makes the blob of what is there, unless check, if there is one, refuses that.
func (s *Store) finishPieces(ctx context.Context, name, token string,
	check func(*finding) error) (blob.Info, error) {
	var failed error
	start, seen := time.Now(), -1
	for try := 0; ; try++ {
		f, err := s.find(ctx, name, token)
		switch {
		case err != nil:
			return blob.Info{}, err
		case f.made:
			_ = s.deletePartial(ctx, f.prefix) // what stays, Partials finds
			return s.describe(ctx, f)
		case check != nil:
			if err := check(f); err != nil {
				if !emptying(f, seen) || time.Since(start) > limbo || loop.Sleep(ctx, limbo/20) != nil {
					return blob.Info{}, err
				}
				seen = len(f.there)
				try--
				continue
			}
		}
		switch {
		case f.have < f.Size:
			return blob.Info{}, fmt.Errorf("%d of %d bytes are there: %w", f.have, f.Size,
				io.ErrUnexpectedEOF)
		case try == completeTries || failed != nil && ctx.Err() != nil:
			return blob.Info{}, failed
		}
		failed = s.complete(ctx, f, token)
	}
}

// emptying reports whether parts that lack may have become the blob's just now: some servers take them
// away one by one before the blob is there. Those that really lack are the same at a second look.
func emptying(f *finding, seen int) bool {
	return f.have < f.Size && (len(f.there) == 0 || len(f.there) != seen)
}

// complete makes the blob visible. An error may mean that it is.
func (s *Store) complete(ctx context.Context, f *finding, token string) error {
	if f.Upload == "" {
		_, err := s.api.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.bucket, Key: &f.key,
			Body:     bytes.NewReader(nil),
			Metadata: map[string]string{tokenKey: token}})
		if err == nil {
			err = s.deletePartial(ctx, f.prefix)
		}
		return err
	}
	_, err := s.api.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: &s.bucket,
		Key: &f.key, UploadId: &f.Upload,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: f.parts}})
	return err
}

// describe reads what a blob's content type is found by.
func (s *Store) describe(ctx context.Context, f *finding) (blob.Info, error) {
	digest := blob.NewDigest()
	if f.Size > 0 {
		out, err := s.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &f.key,
			Range: aws.String("bytes=0-511")})
		if err != nil {
			return blob.Info{}, err
		}
		defer out.Body.Close()
		if _, err := io.CopyN(digest, out.Body, min(512, f.Size)); err != nil {
			return blob.Info{}, err
		}
	}
	return blob.Info{Size: f.Size, ContentType: digest.Info().ContentType}, nil
}
