package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// stalled is how long a download may bring nothing before it is taken up anew.
const stalled = 30 * time.Second

// ErrDigest says that a file arrived with other bytes than were sent.
var ErrDigest = errors.New("the file's digest does not match what was received")

// A File is an output or a result on its way. Reading continues after a broken
// connection where it stopped, and ends with ErrDigest in place of io.EOF when
// the bytes are not those the server announced. Close it.
type File struct {
	Name        string // a plain file name; "" if the server gave none
	ContentType string
	Size        int64 // in bytes; -1 = unknown

	c     *Client
	ctx   context.Context // of Output or Result: a File lives no longer than its call's context
	call  call
	more  http.Header // beside those of any file; nil = none
	etag  string
	want  []byte // SHA-256 of the whole; nil = not announced
	sum   hash.Hash
	off   int64
	body  io.ReadCloser
	stop  func() // ends the present connection
	timer *time.Timer
	tries *patience
	err   error // sticky
}

// Output opens one output of a job that has ended. The error is an *Error with
// code Conflict while it has not.
func (c *Client) Output(ctx context.Context, id job.ID, name string) (*File, error) {
	return c.fetch(ctx, id, httpapi.OutputPath(id, name))
}

// Result opens a job's only output, or else its result as JSON. The error is
// an *Error with code Conflict while the job has not ended.
func (c *Client) Result(ctx context.Context, id job.ID) (*File, error) {
	return c.fetch(ctx, id, httpapi.ResultPath(id))
}

func (c *Client) fetch(ctx context.Context, id job.ID, path string) (*File, error) {
	f, err := c.open(ctx, path, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch from job %s: %w", id, err)
	}
	return f, nil
}

// open asks for a file, with headers beside those of any file.
func (c *Client) open(ctx context.Context, path string, more http.Header) (*File, error) {
	f := &File{c: c, ctx: ctx, call: get(path, nil), more: more, sum: sha256.New(), tries: c.newPatience()}
	f.call.header = f.asStored()
	resp, err := f.connect()
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	f.etag = resp.Header.Get("ETag")
	f.want = sha256Of(resp.Header)
	if kind == "text/html" && f.etag == "" && f.want == nil {
		f.Close()
		return nil, fmt.Errorf("%w (HTTP %d, %s)", ErrForeign, resp.StatusCode, kind)
	}
	f.ContentType, f.Size = resp.Header.Get("Content-Type"), resp.ContentLength
	if _, params, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition")); err == nil {
		f.Name = params["filename"]
	}
	return f, nil
}

// asStored asks for the bytes as they are stored: a compression on the way
// would change what offsets and digests mean.
func (f *File) asStored() http.Header {
	header := f.more.Clone()
	if header == nil {
		header = http.Header{}
	}
	header["Accept"], header["Accept-Encoding"] = []string{"*/*"}, []string{"identity"}
	return header
}

// connect asks for the rest of the file until there is an answer.
func (f *File) connect() (*http.Response, error) {
	for {
		ctx, stop := context.WithCancelCause(f.ctx)
		resp, done, err := f.c.send(ctx, f.call)
		if err == nil {
			f.body = resp.Body
			f.stop = func() { done(); stop(nil) }
			f.timer = time.AfterFunc(stalled, func() { stop(fmt.Errorf("nothing came for %v", stalled)) })
			f.timer.Stop()
			return resp, nil
		}
		stop(nil)
		if err = f.tries.pause(f.ctx, f.call, err); err != nil {
			return nil, err
		}
	}
}

// Read reads on, over as many connections as it takes.
func (f *File) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	for {
		f.timer.Reset(stalled)
		n, err := f.body.Read(p)
		f.timer.Stop()
		if n > 0 {
			f.off += int64(n)
			f.sum.Write(p[:n])
			f.tries.reset()
			return n, nil // an error comes again with the next read
		}
		if err == nil {
			return 0, nil
		}
		if err == io.EOF && (f.Size < 0 || f.off >= f.Size) {
			f.err = f.verify()
			return 0, f.err
		}
		if f.err = f.resume(err); f.err != nil {
			return 0, f.err
		}
	}
}

func (f *File) verify() error {
	if f.want != nil && !bytes.Equal(f.want, f.sum.Sum(nil)) {
		return ErrDigest
	}
	return io.EOF
}

// resume opens a new connection at the place where the last one broke.
func (f *File) resume(cause error) error {
	f.hangUp()
	cause = f.c.unreachable(f.ctx, f.call, cause)
	if f.etag == "" {
		return cause // the file can't be known again
	}
	if err := f.tries.pause(f.ctx, f.call, cause); err != nil {
		return err
	}
	f.call.header = f.asStored()
	f.call.header.Set("If-Range", f.etag)
	f.call.header.Set("Range", "bytes="+strconv.FormatInt(f.off, 10)+"-")
	resp, err := f.connect()
	if err != nil {
		return err
	}
	start := "bytes " + strconv.FormatInt(f.off, 10) + "-"
	if resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(resp.Header.Get("Content-Range"),
		start) {
		f.hangUp()
		return fmt.Errorf("the download broke off at byte %d and can't be continued: %w", f.off, cause)
	}
	return nil
}

func (f *File) hangUp() {
	f.timer.Stop()
	f.stop()
}

// Close ends the download.
func (f *File) Close() error {
	f.hangUp()
	if f.err == nil {
		f.err = errors.New("read from a closed file")
	}
	return nil
}

// sha256Of reads the whole file's digest from the answer to a request for the
// whole file (RFC 9530); nil = none.
func sha256Of(h http.Header) []byte {
	for _, name := range []string{httpapi.HeaderReprDigest, httpapi.HeaderContentDigest} {
		for item := range strings.SplitSeq(h.Get(name), ",") {
			text, ok := strings.CutPrefix(strings.TrimSpace(item), "sha-256=:")
			if !ok {
				continue
			}
			sum, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(text, ":"))
			if err == nil && len(sum) == sha256.Size {
				return sum
			}
		}
	}
	return nil
}
