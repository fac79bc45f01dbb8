package api

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"

	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
)

const (
	// maxFormParts is how many there may be.
	maxFormParts = 64
	// maxFormFrame is what a form may have in bytes beside the parameters' names
	// and values and the file: boundaries, headers, and what the parser reads ahead.
	maxFormFrame = 64 << 10
)

// takeForm reads a form (RFC 7578): parameters first, as in the query, then one
// file, which is left to be streamed. A form without a file has no input.
func takeForm(r *http.Request, boundary string, query url.Values, req *submit.Request) error {
	if boundary == "" {
		return badForm(nil)
	}
	frame := &formFrame{Reader: r.Body, left: httpapi.MaxJSON + maxFormFrame}
	parts := multipart.NewReader(frame, boundary)
	left := int64(httpapi.MaxJSON)
	for n := 0; ; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF { //nolint:errorlint // a form that was cut wraps it
			return nil
		}
		if err != nil {
			return formError(r, err)
		}
		if n == maxFormParts {
			return httpapi.NewError(httpapi.TooLarge, fmt.Sprintf("the form has over %d parts", maxFormParts))
		}
		if part.FileName() != "" {
			frame.left = -1
			req.Input = &formFile{parts: parts, part: part, frame: frame}
			req.Filename, req.ContentType = part.FileName(), part.Header.Get("Content-Type")
			return nil
		}
		value, err := io.ReadAll(io.LimitReader(part, left+1))
		if err != nil {
			return formError(r, err)
		}
		if left -= int64(len(value) + len(part.FormName())); left < 0 {
			return formTooLarge()
		}
		query.Add(part.FormName(), string(value))
	}
}

func formTooLarge() *httpapi.Error {
	return httpapi.NewError(httpapi.TooLarge,
		"the form's parameters are over the limit; a file needs a filename")
}

// A formFrame is a form's bytes, of which few are there but for its file.
type formFrame struct {
	io.Reader
	left int64 // bytes that may still come; < 0 = any number, while the file comes
}

var errFrame = errors.New("form is over its limit")

func (f *formFrame) Read(p []byte) (int, error) {
	if f.left < 0 {
		return f.Reader.Read(p)
	}
	if f.left == 0 {
		return 0, errFrame
	}
	n, err := f.Reader.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	return n, err
}

// formError tells a body that broke off from one that is no form.
func formError(r *http.Request, err error) error {
	if e := edge.BodyOf(r).Refusal(); e != nil {
		return e
	}
	if errors.Is(err, errFrame) {
		return formTooLarge()
	}
	return badForm(err)
}

func badForm(cause error) error {
	return httpapi.NewError(httpapi.Invalid, "the form is malformed").WithStatus(http.StatusBadRequest).
		Wrap(cause)
}

// A formFile is the file of a form. At its end it makes sure that nothing
// follows: what comes after the file would be lost without a word.
type formFile struct {
	parts *multipart.Reader
	part  *multipart.Part
	frame *formFrame
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
		f.frame.left = maxFormFrame // of what follows
		if _, err := f.parts.NextRawPart(); err == nil || errors.Is(err, errFrame) {
			f.ended = errAfterFile
		} else {
			f.ended = err
		}
	}
	return n, f.ended
}
