// Package upload is the wing of uploads in pieces: what the edge asks of them, and how
// the job that one is for is told. The protocol itself is package tus.
package upload

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

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Protocol serves the protocol of uploads in pieces. tus.Handler implements it.
type Protocol interface {
	// Serve answers one request, or returns why it is refused. create is the
	// job that a new upload is for. A request that takes long ends with stopping.
	// There are uploads of jobs in the view.
	Serve(stopping context.Context, w http.ResponseWriter, r *http.Request, by submit.Uploader,
		create *submit.Request) error
}

const (
	headerMetadata = "Upload-Metadata"
	headerLength   = "Upload-Length"
	headerOffset   = "Upload-Offset"
	headerOverride = "X-HTTP-Method-Override"
)

// lateUpload is how long an upload may go on that a page began while its token was good.
const lateUpload = 24 * time.Hour

// Handler serves uploads.
type Handler struct {
	Protocol Protocol
	Uploads  Uploads
	Admit    *edge.Uploads
	Show     func(job.Snapshot) job.Snapshot // completes a snapshot for who asks
	Stopping context.Context                 // ends when the server is to
}

// Routes are those of tus 1.0, and of uploads that go straight to the bucket.
func (h Handler) Routes() []edge.Route {
	const all, one = httpapi.PathUploads, httpapi.PathUploads + "/{id}"
	at := func(method, path, name, summary string) edge.Route {
		op := huma.Operation{Method: method, Path: path, OperationID: name, Summary: summary,
			Responses: map[string]*huma.Response{
				"2XX":     {Description: "As tus 1.0 says (https://tus.io/protocols/resumable-upload)."},
				"default": edge.ProblemResponse(),
			}}
		if path == one {
			op.Parameters = []*huma.Param{edge.IDParam()}
		}
		rt := edge.Route{Op: op, Access: edge.Bearer, Scope: access.JobsSubmit, Handle: h.upload}
		if path == one && method != http.MethodOptions {
			rt.Job, rt.Late = true, lateUpload
		}
		return rt
	}
	create := at("POST", all, "create-upload", "Begin an upload in pieces, and its job: by tus 1.0, or straight to the bucket")
	create.Op.Parameters, create.Op.RequestBody = uploadParams(), directBody()
	create.Op.Responses["2XX"].Description += " Of a direct upload, which a body in JSON begins: how far it is, as " +
		"the answer to " + httpapi.PathUploads + "/{id}/parts."
	create.Handle = h.create
	return append([]edge.Route{
		create,
		at("OPTIONS", all, "describe-uploads", "What of tus is served"),
		at("OPTIONS", one, "describe-upload", "What of tus is served"),
		at("HEAD", one, "get-upload", "How many bytes of an upload are there"),
		at("PATCH", one, "append-upload", "Add bytes to an upload"),
		at("DELETE", one, "delete-upload", "End an upload and cancel its job"),
		at("POST", one, "override-upload", "PATCH or DELETE, as X-HTTP-Method-Override says"),
	}, h.directRoutes()...)
}

func uploadParams() []*huma.Param {
	text := &huma.Schema{Type: huma.TypeString}
	params := []*huma.Param{
		{Name: "Tus-Resumable", In: "header", Description: "1.0.0, of tus", Schema: text},
		{Name: headerLength, In: "header", Description: "of tus: the input's size in bytes",
			Schema: &huma.Schema{Type: huma.TypeInteger}},
		{Name: headerMetadata, In: "header", Schema: text, Description: "of tus: " + metadataDoc()},
	}
	return append(params, edge.ControlParams(httpapi.InHeader)...)
}

// metadataDoc names the keys that mean something.
func metadataDoc() string {
	doc := "values in base64: type, and if wished filetype, payload (JSON)"
	for _, c := range httpapi.Controls {
		if c.In&httpapi.InQuery != 0 {
			doc += ", " + c.Name + " (" + c.Doc + ")"
		}
	}
	return doc
}

func (h Handler) upload(a *edge.Answer, r *http.Request) error {
	if r.Method == http.MethodPost {
		switch r.Header.Get(headerOverride) {
		case http.MethodPatch, http.MethodDelete:
		case "":
			return httpapi.InvalidAt("/headers/"+headerOverride, "expected PATCH or DELETE")
		default: // what it were answered, its client would read as the answer to POST
			return badOverride("PATCH or DELETE")
		}
	}
	if _, err := headerNumber(r, headerOffset); err != nil {
		return err
	}
	if r.ContentLength != 0 { // else it asks or ends
		end, err := h.begin(a, r, r.ContentLength)
		if err != nil {
			return err
		}
		defer end()
	}
	return h.serve(a, r, nil)
}

// begin admits a request's bytes, or if it begins an upload those of all of it, as
// size says. A client of tus gives up for good at most codes of 4xx, so "too many" is
// 503 here, and so is "too slow" in serve.
func (h Handler) begin(a *edge.Answer, r *http.Request, size int64) (end func(), err error) {
	end, err = h.Admit.Begin(a, r, size)
	var refused *httpapi.Error
	if errors.As(err, &refused) && refused.Code == httpapi.RateLimited {
		err = refused.WithStatus(http.StatusServiceUnavailable)
	}
	return end, err
}

// ends reports whether a request ends an upload.
func ends(r *http.Request) bool {
	return r.Method == http.MethodDelete || r.Method == http.MethodPost &&
		r.Header.Get(headerOverride) == http.MethodDelete
}

func badOverride(expected string) *httpapi.Error {
	return httpapi.NewError(httpapi.Unsupported, "expected as "+headerOverride+": "+expected).
		WithStatus(http.StatusMethodNotAllowed)
}

// serve has a request of tus served. One whose bytes come too slowly ends
// like one of a server that stops: what came is stored, and the client goes on,
// with its lock and its place among the uploads let go meanwhile.
func (h Handler) serve(a *edge.Answer, r *http.Request, create *submit.Request) error {
	err := h.Protocol.Serve(h.Stopping, a, r, submit.UploaderOf(a.Who, a.View(), ends(r)), create)
	if slow := a.Body.Refusal(); err != nil && slow != nil && a.Body.TooSlow() {
		return httpapi.NewError(httpapi.RateLimited, slow.Detail).
			WithStatus(http.StatusServiceUnavailable).WithRetryAfter(time.Second).Wrap(err)
	}
	return err
}

// create begins an upload. What its job is to do stands in the metadata;
// keys that mean nothing to us, as clients send them, are only kept.
func (h Handler) create(a *edge.Answer, r *http.Request) error {
	if isDirect(r) {
		return h.createDirect(a, r)
	}
	if r.Header.Get("Upload-Concat") != "" {
		return httpapi.NewError(httpapi.Unsupported,
			"uploads are not concatenated: send one file in one upload").
			WithStatus(http.StatusNotImplemented)
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
	req := submit.Request{Type: values.Get("type"), ContentType: values.Get("filetype"),
		Filename: values.Get("name"), Client: a.ClientText()}
	if err := req.ReadHeader(r.Header); err != nil {
		return err
	}
	p := httpapi.Params{Values: values}
	req.TakeParameters(&p)
	if err := p.Err(); err != nil {
		return inMetadata(err)
	}
	if err := req.Permit(a.Who, a.Tenant()); err != nil {
		return err
	}
	end, err := h.begin(a, r, max(size, r.ContentLength))
	if err != nil {
		return err
	}
	defer end()
	return inMetadata(h.serve(a, r, &req))
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
		return 0, httpapi.InvalidAt("/headers/"+name, "expected a number of bytes, in digits").
			WithStatus(http.StatusBadRequest)
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
			return nil, httpapi.InvalidAt("/headers/"+headerMetadata+"/"+key, "given more than once")
		}
		value, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return nil, httpapi.InvalidAt("/headers/"+headerMetadata,
				"expected pairs of a key and a value in base64, separated by commas")
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
