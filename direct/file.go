package direct

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"longshore/client"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/refusal"
	"longshore/job"
)

// A File is an output or a result. Reading ends with client.ErrDigest in place of
// io.EOF when the bytes are not those that the job wrote. Close it.
type File struct {
	Name        string // a plain file name; "" for a result
	ContentType string
	Size        int64 // in bytes

	content io.ReadCloser
	want    []byte // SHA-256 of the whole; nil = not known
	sum     hash.Hash
}

// Output opens one output of a job that has ended. The error is an *Error with the
// code client.Conflict while it has not.
func (c *Client) Output(ctx context.Context, id job.ID, name string) (*File, error) {
	snap, err := c.ended(ctx, id)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(snap.Outputs, func(o job.Output) bool { return o.Name == name })
	if i < 0 {
		return nil, fetchError(id, httpapi.NewError(httpapi.NotFound, "the job has no such output"))
	}
	return c.open(ctx, id, snap.Outputs[i])
}

// Result opens a job's only output, or else its result as JSON. The error is an *Error
// with the code client.Conflict while the job has not ended.
func (c *Client) Result(ctx context.Context, id job.ID) (*File, error) {
	snap, err := c.ended(ctx, id)
	if err != nil {
		return nil, err
	}
	if snap.State != job.Succeeded {
		return nil, fetchError(id,
			httpapi.NewError(httpapi.NotFound, fmt.Sprintf("the job has no result: it ended %s", snap.State)))
	}
	if len(snap.Outputs) == 1 {
		return c.open(ctx, id, snap.Outputs[0])
	}
	text, err := httpapi.Encode(snap.Result)
	if err != nil {
		return nil, fetchError(id, err)
	}
	return &File{ContentType: httpapi.TypeJSON, Size: int64(len(text)),
		content: io.NopCloser(bytes.NewReader(text))}, nil
}

func (c *Client) ended(ctx context.Context, id job.ID) (job.Snapshot, error) {
	snap, err := c.snapshot(ctx, "fetch from", id, c.sys.Store.Get)
	if err == nil && !snap.Done {
		err = fetchError(id, httpapi.NewError(httpapi.Conflict, "the job has not ended"))
	}
	return snap, err
}

func (c *Client) open(ctx context.Context, id job.ID, o job.Output) (*File, error) {
	f := &File{Name: o.Name, ContentType: o.ContentType, Size: o.Size, sum: sha256.New()}
	if sum, err := hex.DecodeString(o.SHA256); err == nil && len(sum) == sha256.Size {
		f.want = sum
	}
	err := c.insist(ctx, func() error {
		content, err := c.sys.Blobs.Open(ctx, o.Blob)
		if errors.Is(err, blob.ErrNotFound) {
			return httpapi.NewError(httpapi.NotFound, "the output is gone: the job's retention is over").
				Wrap(err)
		}
		f.content = content
		return err
	})
	if err != nil {
		return nil, fetchError(id, err)
	}
	return f, nil
}

func fetchError(id job.ID, err error) error {
	return fmt.Errorf("fetch from job %s: %w", id, refusal.Of(err))
}

// Read reads on.
func (f *File) Read(p []byte) (int, error) {
	n, err := f.content.Read(p)
	if f.want == nil {
		return n, err
	}
	f.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && !bytes.Equal(f.sum.Sum(nil), f.want) {
		return n, client.ErrDigest
	}
	return n, err
}

// Close lets go of the file.
func (f *File) Close() error { return f.content.Close() }
