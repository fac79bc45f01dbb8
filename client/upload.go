package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// maxMetadata is the most that a submission may need as a header, in bytes:
// servers and proxies take headers of 8 KiB and more.
const maxMetadata = 6 << 10

// Upload sends size bytes of in as the job's input, in constant memory, by a
// protocol (tus 1.0) in which a broken connection, a restart of the server or
// another server behind the same address costs only what was on the way: it
// asks how far the server is and goes on from there. Each piece that arrives
// begins Config.RetryFor anew, and that lasts as long as for a known job. It
// returns once the server has the whole input.
//
// For a file of a few megabytes SubmitFile is as good, and one request. Upload
// becomes SubmitFile where the server has no place for pieces, or where the
// payload has over 4 KiB or so. Use Payload, not Fields.
//
// With an ID or an IdempotencyKey the same call, made again within the server's
// UPLOAD_EXPIRY, by another process too, goes on where the first one stopped.
// Without one nobody could, and an upload that failed is deleted. The error of
// one whose job was canceled meanwhile has the status 410.
func (c *Client) Upload(ctx context.Context, s Submission, in io.ReaderAt, size int64) (job.Snapshot, error) {
	metadata, err := s.metadata()
	if err != nil {
		return job.Snapshot{}, err
	}
	whole := io.NewSectionReader(in, 0, size)
	if len(metadata) > maxMetadata {
		return c.SubmitFile(ctx, s, whole, size)
	}
	u := &upload{c: c, in: in, size: size, patience: c.newPatience()}
	err = u.create(ctx, s.header(), metadata)
	if refused := (*Error)(nil); errors.As(err, &refused) && refused.Status == http.StatusNotImplemented {
		return c.SubmitFile(ctx, s, whole, size)
	}
	if err == nil {
		if err = u.send(ctx); err != nil && s.ID == "" && s.IdempotencyKey == "" {
			u.drop(ctx)
		}
	}
	if err != nil {
		return job.Snapshot{}, fmt.Errorf("submit %s: %w", s.Type, err)
	}
	return c.Get(ctx, u.id)
}

// metadata is the submission as the value of Upload-Metadata.
func (s Submission) metadata() (string, error) {
	if s.Fields != nil || s.InputJob != "" {
		return "", fmt.Errorf("submission of %s: an upload goes with Payload, not with Fields or InputJob",
			s.Type)
	}
	values, err := s.query()
	if err != nil {
		return "", err
	}
	values.Set("type", s.Type)
	if s.ContentType != "" {
		values.Set("filetype", s.ContentType)
	}
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, key+" "+base64.StdEncoding.EncodeToString([]byte(values.Get(key))))
	}
	return strings.Join(pairs, ","), nil
}

// An upload is one on its way.
type upload struct {
	c        *Client
	in       io.ReaderAt
	size     int64
	id       job.ID
	offset   int64 // how much the server has
	patience *patience
}

// Headers of tus.
const (
	headerResumable = "Tus-Resumable"
	headerOffset    = "Upload-Offset"
)

// create begins the upload, or finds the one that an earlier call has begun.
func (u *upload) create(ctx context.Context, header http.Header, metadata string) error {
	header.Set(headerResumable, "1.0.0")
	header.Set("Upload-Length", strconv.FormatInt(u.size, 10))
	header.Set("Upload-Metadata", metadata)
	call := call{method: http.MethodPost, path: httpapi.PathUploads, header: header, safe: true,
		resumes: true}
	for {
		answer, err := u.ask(ctx, call)
		if err == nil {
			u.id, err = job.ParseID(answer.Get(httpapi.HeaderJob))
			if err != nil {
				return fmt.Errorf("%w (an upload without a job)", ErrForeign)
			}
			u.patience.reset()
			return nil
		}
		if err = u.patience.pause(ctx, call, err); err != nil {
			return err
		}
	}
}

// send asks for the offset and sends what is left, until nothing is.
func (u *upload) send(ctx context.Context) error {
	for {
		left, err := u.look(ctx)
		if err != nil || left == 0 {
			return err
		}
		header := http.Header{headerResumable: {"1.0.0"}, headerOffset: {strconv.FormatInt(u.offset, 10)},
			"Content-Type": {"application/offset+octet-stream"}}
		call := u.call(http.MethodPatch, header)
		call.body, call.stall = newBody(io.NewSectionReader(u.in, u.offset, left), left), stalled
		answer, err := u.ask(ctx, call)
		if err == nil && answer.Get(headerOffset) == strconv.FormatInt(u.size, 10) {
			return nil
		}
		if err == nil {
			continue // it took less; the offset says so
		}
		if err := u.patience.pause(ctx, call, err); err != nil {
			return err
		}
	}
}

// look asks how much is left. More than before is a good answer.
func (u *upload) look(ctx context.Context) (left int64, err error) {
	call := u.call(http.MethodHead, http.Header{headerResumable: {"1.0.0"}})
	for {
		answer, err := u.ask(ctx, call)
		if err == nil {
			offset, err := strconv.ParseInt(answer.Get(headerOffset), 10, 64)
			if err != nil || offset < 0 || offset > u.size {
				return 0, fmt.Errorf("%w (an upload without an offset)", ErrForeign)
			}
			if offset > u.offset {
				u.patience.reset()
			}
			u.offset = offset
			return u.size - offset, nil
		}
		if err = u.patience.pause(ctx, call, err); err != nil {
			return 0, err
		}
	}
}

func (u *upload) call(method string, header http.Header) call {
	return call{method: method, path: httpapi.UploadPath(u.id), header: header, safe: true, known: true,
		resumes: true}
}

// ask sends a call once; what matters of its answer is the header.
func (u *upload) ask(ctx context.Context, call call) (http.Header, error) {
	answer, done, err := u.c.send(ctx, call)
	if err != nil {
		return nil, err
	}
	defer done()
	return answer.Header, nil
}

// drop deletes an upload that nobody can go on with. If it fails the upload expires.
func (u *upload) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = u.ask(ctx, u.call(http.MethodDelete, http.Header{headerResumable: {"1.0.0"}}))
}

// resumable reports whether an upload goes on after a status that is final for
// other calls: another request held it, or was at another offset; or there is no
// space, or something broke, for now.
func resumable(status int) bool {
	switch status {
	case http.StatusConflict, http.StatusLocked, http.StatusInternalServerError,
		http.StatusInsufficientStorage:
		return true
	}
	return false
}
