package web

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"

	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/job"
)

// maxForm is the size limit of a form's parameters together, in bytes.
const maxForm = 2 * job.MaxDocument

// takeForm reads a form (RFC 7578): parameters first, as in the query, then one
// file, which is left to be streamed. A form without a file has no input.
func takeForm(r *http.Request, boundary string, query url.Values, req *submit.Request) error {
	if boundary == "" {
		return badForm(nil)
	}
	parts := multipart.NewReader(r.Body, boundary)
	left := int64(maxForm)
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF { //nolint:errorlint // a form that was cut wraps it
			return nil
		}
		if err != nil {
			return formError(r, err)
		}
		if part.FileName() != "" {
			req.Input = &formFile{parts: parts, part: part}
			req.Filename, req.ContentType = part.FileName(), part.Header.Get("Content-Type")
			return nil
		}
		value, err := io.ReadAll(io.LimitReader(part, left+1))
		if err != nil {
			return formError(r, err)
		}
		if left -= int64(len(value) + len(part.FormName())); left < 0 {
			return httpapi.NewError(httpapi.TooLarge, "the form's parameters are over the limit; a file needs a filename")
		}
		query.Add(part.FormName(), string(value))
	}
}

// formError tells a body that broke off from one that is no form.
func formError(r *http.Request, err error) error {
	if body, ok := r.Body.(*requestBody); ok && body.failed != nil {
		return body.refusal()
	}
	return badForm(err)
}

func badForm(cause error) error {
	return httpapi.NewError(httpapi.Invalid, "the form is malformed").WithStatus(http.StatusBadRequest).Wrap(cause)
}

// A formFile is the file of a form. At its end it makes sure that nothing
// follows: what comes after the file would be lost without a word.
type formFile struct {
	parts *multipart.Reader
	part  *multipart.Part
	ended error
}

var errAfterFile = errors.New("the form goes on after its file")

func (f *formFile) Read(p []byte) (int, error) {
	if f.ended != nil {
		return 0, f.ended
	}
	n, err := f.part.Read(p)
	if err == nil {
		return n, nil
	}
	f.ended = err
	if errors.Is(err, io.EOF) {
		if _, err := f.parts.NextRawPart(); err == nil {
			f.ended = errAfterFile
		} else {
			f.ended = err
		}
	}
	return n, f.ended
}
