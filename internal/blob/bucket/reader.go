package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A reader reads one blob. Seek costs nothing; the next Read asks for the rest
// from there. A connection that breaks is replaced, as long as each of them
// brings something.
type reader struct {
	ctx   context.Context // of Open: it governs all of the reading
	store *Store
	name  string
	key   string
	size  int64
	etag  *string

	pos  int64         // where the next Read reads
	body io.ReadCloser // nil = to be asked for
	at   int64         // where the body is
	shut bool
}

// maxResumes is how many connections in a row may break without a byte.
const maxResumes = 3

// Size returns the blob's length in bytes.
func (r *reader) Size() int64 { return r.size }

// request asks for the content from pos on.
func (r *reader) request() error {
	input := &s3.GetObjectInput{Bucket: &r.store.bucket, Key: &r.key, IfMatch: r.etag}
	if r.pos > 0 {
		input.Range = aws.String("bytes=" + strconv.FormatInt(r.pos, 10) + "-")
	}
	out, err := r.store.api.GetObject(r.ctx, input)
	if err != nil {
		return err
	}
	if r.pos > 0 && out.ContentRange == nil {
		out.Body.Close()
		return errors.New("the server doesn't send ranges")
	}
	if r.etag == nil {
		r.etag, r.size = out.ETag, aws.ToInt64(out.ContentLength)
	}
	r.body, r.at = out.Body, r.pos
	return nil
}

func (r *reader) Read(p []byte) (int, error) {
	if r.shut {
		return 0, fmt.Errorf("read blob %s: %w", r.name, os.ErrClosed)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if r.pos >= r.size {
		return 0, io.EOF
	}
	for try := 0; ; try++ {
		n, err := r.read(p)
		if n > 0 {
			return n, nil // an error beside it comes again
		}
		if r.ctx.Err() != nil || try == maxResumes {
			return 0, fmt.Errorf("read blob %s: %w", r.name, storeError(r.ctx, err))
		}
		select {
		case <-r.ctx.Done():
		case <-time.After(100 * time.Millisecond << try):
		}
	}
}

// read reads from a connection that stands at pos. It never returns 0 and nil.
func (r *reader) read(p []byte) (int, error) {
	if r.body != nil && r.at != r.pos {
		r.drop()
	}
	if r.body == nil {
		if err := r.request(); err != nil {
			return 0, err
		}
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.size-r.pos)])
	r.pos += int64(n)
	r.at = r.pos
	if n == 0 {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		r.drop()
	}
	return n, err
}

func (r *reader) drop() {
	if r.body != nil {
		r.body.Close() // what it says is of no use: a new one is asked for
		r.body = nil
	}
}

// Seek moves to where the next Read reads.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 || whence < io.SeekStart || whence > io.SeekEnd {
		return 0, fmt.Errorf("seek blob %s: %w", r.name, os.ErrInvalid)
	}
	r.pos = offset
	return offset, nil
}

// Close lets go of the connection.
func (r *reader) Close() error {
	r.drop()
	r.shut = true
	return nil
}
