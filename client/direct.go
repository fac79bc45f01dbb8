package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/job"
)

const (
	directBatch    = 16 // parts whose addresses are asked for at a time
	directParallel = 4  // parts that go at a time
)

// UploadDirect sends size bytes of in as the job's input straight to the bucket that the server keeps
// files in, several parts at a time and in constant memory: the server only signs where they go, and
// checks at the end that they are there. Each part is read twice, first for its SHA-256, by which the
// bucket refuses other bytes. It becomes Upload where the files of jobs are on the server's disk.
//
// All that Upload says of repeats, keys and patience holds. The parts are not sent by Config.HTTP, which
// may add to a request what is for the server alone, but by a transport of our own, with the
// environment's proxy.
func (c *Client) UploadDirect(ctx context.Context, s Submission, in io.ReaderAt,
	size int64) (job.Snapshot, error) {
	text, err := s.direct(size)
	if err != nil {
		return job.Snapshot{}, err
	}
	header := s.header()
	header.Set("Content-Type", httpapi.TypeJSON)
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	d := &directUpload{upload: upload{c: c, in: in, size: size, patience: c.newPatience()},
		bucket: &http.Client{Transport: newTransport(), CheckRedirect: stay}}
	defer d.bucket.CloseIdleConnections()
	_, err = c.exchange(ctx, call{method: http.MethodPost, path: httpapi.PathUploads, header: header,
		body: newBody(bytes.NewReader(text), int64(len(text))), safe: true, resumes: true}, &d.DirectUpload)
	if noBucket(err) {
		return c.Upload(ctx, s, in, size)
	}
	var snap job.Snapshot
	if err == nil {
		d.id = d.ID
		if snap, err = d.run(ctx); err != nil && s.ID == "" && s.IdempotencyKey == "" {
			d.drop(ctx)
		}
	}
	if err != nil {
		return job.Snapshot{}, fmt.Errorf("submit %s: %w", s.Type, err)
	}
	return snap, nil
}

// noBucket reports whether an upload was refused because there is no bucket.
func noBucket(err error) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.Status == http.StatusUnprocessableEntity &&
		slices.ContainsFunc(refused.Errors, func(p httpapi.Pointer) bool { return p.Pointer == "/direct" })
}

// direct is the submission as what begins such an upload.
func (s Submission) direct(size int64) ([]byte, error) {
	if s.Fields != nil || s.InputJob != "" {
		return nil, fmt.Errorf("submission of %s: an upload goes with Payload, not with Fields or InputJob", s.Type)
	}
	text, err := s.json(httpapi.InBody)
	if err != nil {
		return nil, err
	}
	more, err := json.Marshal(struct {
		Direct      bool   `json:"direct"`
		Size        int64  `json:"size"`
		Checksum    string `json:"checksum"`
		Filename    string `json:"filename,omitempty"`
		ContentType string `json:"content_type,omitempty"`
	}{true, size, "sha256", s.Filename, s.ContentType})
	if err != nil {
		return nil, fmt.Errorf("encode the submission of %s: %w", s.Type, err)
	}
	return slices.Concat(text[:len(text)-1], []byte{','}, more[1:]), nil
}

// A directUpload is one on its way.
type directUpload struct {
	upload
	answer.DirectUpload
	bucket *http.Client
}

// run sends what is missing, and completes the upload.
func (d *directUpload) run(ctx context.Context) (job.Snapshot, error) {
	if d.Complete {
		return d.c.Get(ctx, d.id)
	}
	if d.size > 0 && (d.PartSize <= 0 || int64(d.PartCount) != (d.size+d.PartSize-1)/d.PartSize) {
		return job.Snapshot{}, fmt.Errorf("%w (an upload without parts)", ErrForeign)
	}
	all := sha256.New()
	for from, count := 1, d.PartCount; from <= count; from += directBatch {
		sums := make([]string, min(directBatch, count-from+1))
		for i := range sums {
			sum := sha256.New()
			if _, err := io.Copy(sum, d.part(from+i)); err != nil {
				return job.Snapshot{}, fmt.Errorf("read the input: %w", err)
			}
			sums[i] = hex.EncodeToString(sum.Sum(nil))
			_, _ = all.Write(sum.Sum(nil))
		}
		if err := d.batch(ctx, answer.UploadParts{From: from, SHA256: sums}); err != nil {
			return job.Snapshot{}, err
		}
	}
	call, err := call{method: http.MethodPost, path: httpapi.CompletePath(d.id), safe: true,
		known: true, resumes: true}.withJSON(answer.UploadEnd{SHA256: hex.EncodeToString(all.Sum(nil))})
	if err != nil {
		return job.Snapshot{}, err
	}
	var snap job.Snapshot
	_, err = d.c.exchange(ctx, call, &snap)
	return snap, err
}

// part is what belongs into a part.
func (d *directUpload) part(number int) *io.SectionReader {
	from := int64(number-1) * d.PartSize
	return io.NewSectionReader(d.in, from, min(d.PartSize, d.size-from))
}

// batch sends some parts, until none of them is missing. Addresses that have ended are asked for anew.
func (d *directUpload) batch(ctx context.Context, want answer.UploadParts) error {
	for {
		call, err := call{method: http.MethodPost, path: httpapi.PartsPath(d.id), safe: true, known: true,
			resumes: true}.withJSON(want)
		if err != nil {
			return err
		}
		var now answer.DirectUpload
		if _, err := d.c.exchange(ctx, call, &now); err != nil {
			return err
		}
		if now.PartsDone > d.PartsDone {
			d.patience.reset()
		}
		d.PartsDone = now.PartsDone
		if len(now.Parts) == 0 {
			return nil
		}
		err = d.putAll(ctx, now.Parts)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("send the parts: %w", context.Cause(ctx))
		}
		if err = d.patience.pause(ctx, d.call(http.MethodPut, nil), err); err != nil {
			return err
		}
	}
}

// putAll sends parts, some at a time, and returns the first error. The others go on: what arrived needn't
// again.
func (d *directUpload) putAll(ctx context.Context, parts []answer.UploadPart) error {
	var group sync.WaitGroup
	var once sync.Once
	var failed error
	places := make(chan struct{}, directParallel)
	for _, p := range parts {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			if err := d.put(ctx, p); err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	group.Wait()
	return failed
}

// put sends one part. What it says of a failure has no address, which is a secret.
func (d *directUpload) put(parent context.Context, p answer.UploadPart) error {
	if p.Number < 1 || p.Number > d.PartCount || p.Size != d.part(p.Number).Size() {
		return fmt.Errorf("%w (part %d of %d bytes)", ErrForeign, p.Number, p.Size)
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	timer := time.AfterFunc(stalled, func() { cancel(fmt.Errorf("nothing went or came for %v", stalled)) })
	defer timer.Stop()
	in := &reading{in: d.part(p.Number), left: p.Size, moved: func() { timer.Reset(stalled) },
		closed: make(chan struct{})}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, p.URL, in)
	if err != nil {
		return fmt.Errorf("%w (part %d has no address)", ErrForeign, p.Number)
	}
	req.ContentLength = p.Size
	for name, value := range p.Headers {
		req.Header.Set(name, value)
	}
	resp, err := d.bucket.Do(req)
	if err != nil {
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		switch read := in.failed(); {
		case parent.Err() != nil:
			return context.Cause(parent)
		case read != nil:
			return fmt.Errorf("read the input: %w", read)
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		}
		return bucketError(p.Number, 0, err.Error())
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusForbidden, http.StatusNotFound: // an address or the upload has ended: asking tells
		return bucketError(p.Number, 0, resp.Status)
	}
	return bucketError(p.Number, resp.StatusCode, resp.Status)
}

// bucketError is what became of a part; status 0 passes by itself.
func bucketError(number, status int, why string) error {
	e := httpapi.NewError(Unavailable, fmt.Sprintf("part %d: the bucket answers: %s", number, why))
	e.Status, e.Title = status, ""
	return e
}
