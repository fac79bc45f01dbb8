package web

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/job"
)

// Uploads serves the protocol of uploads in pieces. tus.Handler implements it.
type Uploads interface {
	// Serve answers one request, or returns why it is refused. create is the
	// job that a new upload is for. A request that takes long ends with stopping.
	Serve(stopping context.Context, w http.ResponseWriter, r *http.Request, create *submit.Request) error
}

const (
	headerMetadata = "Upload-Metadata"
	headerLength   = "Upload-Length"
	headerOffset   = "Upload-Offset"
	headerOverride = "X-HTTP-Method-Override"
)

// uploadRoutes are the routes of tus 1.0.
func (s *Server) uploadRoutes() []route {
	const all, one = httpapi.PathUploads, httpapi.PathUploads + "/{id}"
	at := func(method, path, name, summary string, access access) route {
		op := huma.Operation{Method: method, Path: path, OperationID: name, Summary: summary, Responses: map[string]*huma.Response{
			"2XX":     {Description: "As tus 1.0 says (https://tus.io/protocols/resumable-upload)."},
			"default": problemResponse(),
		}}
		if path == one {
			op.Parameters = []*huma.Param{{Name: "id", In: "path", Required: true, Description: "the job's id", Schema: idParam{}.Schema(nil)}}
		}
		return route{op: op, access: access, add: raw(s.upload)}
	}
	create := at("POST", all, "create-upload", "Begin an upload in pieces, and its job (tus 1.0)", bearer)
	create.op.Parameters = uploadParams()
	create.add = raw(s.createUpload)
	return []route{
		create,
		at("OPTIONS", all, "describe-uploads", "What of tus is served", bearer),
		at("OPTIONS", one, "describe-upload", "What of tus is served", bearer),
		at("HEAD", one, "get-upload", "How many bytes of an upload are there", bearer),
		at("PATCH", one, "append-upload", "Add bytes to an upload", bearer),
		at("DELETE", one, "delete-upload", "End an upload and cancel its job", bearer),
		at("POST", one, "override-upload", "PATCH or DELETE, as X-HTTP-Method-Override says", bearer),
	}
}

func uploadParams() []*huma.Param {
	text := &huma.Schema{Type: huma.TypeString}
	return []*huma.Param{
		{Name: "Tus-Resumable", In: "header", Required: true, Description: "1.0.0", Schema: text},
		{Name: headerLength, In: "header", Required: true, Description: "the input's size in bytes", Schema: &huma.Schema{Type: huma.TypeInteger}},
		{Name: headerMetadata, In: "header", Required: true, Schema: text,
			Description: "type, and if wished payload (JSON), filename, filetype, priority, run_at, timeout, expires_in, max_attempts and retention; values in base64"},
		{Name: httpapi.HeaderJob, In: "header", Description: "the id the job shall have: a UUIDv7 of the last hour", Schema: &huma.Schema{Type: huma.TypeString, Format: "uuid"}},
		{Name: httpapi.HeaderIdempotencyKey, In: "header", Description: "a repeat with the same key returns the first upload", Schema: text},
	}
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		switch r.Header.Get(headerOverride) {
		case http.MethodPatch, http.MethodDelete:
		case "":
			return invalid("/headers/"+headerOverride, "expected PATCH or DELETE")
		default: // what it were answered, its client would read as the answer to POST
			return badOverride("PATCH or DELETE")
		}
	}
	if _, err := headerNumber(r, headerOffset); err != nil {
		return err
	}
	if r.ContentLength != 0 { // else it asks or ends
		end, err := s.beginPieces(r, r.ContentLength)
		if err != nil {
			return err
		}
		defer end()
	}
	return s.servePieces(w, r, nil)
}

func badOverride(expected string) *httpapi.Error {
	return httpapi.NewError(httpapi.Unsupported, "expected as "+headerOverride+": "+expected).WithStatus(http.StatusMethodNotAllowed)
}

// servePieces has a request of tus served. One whose bytes come too slowly ends
// like one of a server that stops: what came is stored, and the client goes on,
// with its lock and its place among the uploads let go meanwhile.
func (s *Server) servePieces(w http.ResponseWriter, r *http.Request, create *submit.Request) error {
	err := s.Uploads.Serve(s.stopping, w, r, create)
	if body, ok := r.Body.(*requestBody); ok && err != nil && body.tooSlow() {
		e := httpapi.NewError(httpapi.RateLimited, body.refusal().Detail).WithStatus(http.StatusServiceUnavailable).Wrap(err)
		e.RetryAfter = time.Second
		return e
	}
	return err
}

// createUpload begins an upload. What its job is to do stands in the metadata;
// keys that mean nothing to us, as clients send them, are only kept.
func (s *Server) createUpload(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Upload-Concat") != "" {
		return httpapi.NewError(httpapi.Unsupported, "uploads are not concatenated: send one file in one upload").WithStatus(http.StatusNotImplemented)
	}
	if r.Header.Get(headerOverride) != "" {
		return badOverride("none")
	}
	size, err := headerNumber(r, headerLength)
	if err != nil {
		return err
	}
	values, err := parseMetadata(r.Header.Values(headerMetadata))
	if err != nil {
		return err
	}
	req := submit.Request{Type: values.Get("type"), ID: job.ID(r.Header.Get(httpapi.HeaderJob)),
		IdempotencyKey: r.Header.Get(httpapi.HeaderIdempotencyKey), ContentType: values.Get("filetype"), Filename: values.Get("name"),
		Client: addressText(household(s.clientAddress(r)))}
	if err := checkNames(req); err != nil {
		return err
	}
	if _, err := takeControls(values, &req); err != nil {
		return inMetadata(err)
	}
	end, err := s.beginPieces(r, max(size, r.ContentLength))
	if err != nil {
		return err
	}
	defer end()
	return inMetadata(s.servePieces(w, r, &req))
}

// headerNumber reads a header of tus that counts bytes: digits, and nothing else.
// One that is not there is 0: who needs it says so.
func headerNumber(r *http.Request, name string) (int64, error) {
	values := r.Header.Values(name)
	if len(values) == 0 {
		return 0, nil
	}
	text := values[0]
	if len(values) > 1 || text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, invalid("/headers/"+name, "expected a number of bytes, in digits").WithStatus(http.StatusBadRequest)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil { // more than there are bytes in the world
		return 0, httpapi.NewError(httpapi.TooLarge, "the input is over the limit").Wrap(err)
	}
	return n, nil
}

// parseMetadata reads pairs of a key and a base64 value: "type bG9n…,payload e30=".
func parseMetadata(headers []string) (url.Values, error) {
	values := url.Values{}
	for pair := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		key, text, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if key == "" {
			continue
		}
		if values.Has(key) {
			return nil, invalid("/headers/"+headerMetadata+"/"+key, "given more than once")
		}
		value, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return nil, invalid("/headers/"+headerMetadata, "expected pairs of a key and a value in base64, separated by commas")
		}
		values.Add(key, string(value))
	}
	return values, nil
}

// inMetadata moves pointers to where the client wrote what is wrong.
func inMetadata(err error) error {
	var e *httpapi.Error
	if !errors.As(err, &e) {
		return err
	}
	for i, p := range e.Errors {
		if !strings.HasPrefix(p.Pointer, "/headers/") && p.Pointer != "/input" {
			e.Errors[i].Pointer = "/headers/" + headerMetadata + "/" + strings.TrimLeft(p.Pointer, "?/")
		}
	}
	return e
}
