package upload

import (
	"context"
	"encoding/hex"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Uploads begins and finds uploads. submit.Submitter implements it.
type Uploads interface {
	Begin(ctx context.Context, r submit.Request, metadata string) (u *submit.Resumable, created bool,
		err error)
	Resume(ctx context.Context, by submit.Uploader, id job.ID) (*submit.Resumable, error)
}

// checksum is the one kind that there is.
const checksum = "sha256"

// directRoutes are those of uploads whose bytes go straight to the bucket; one begins as any upload does,
// by create.
func (h Handler) directRoutes() []edge.Route {
	at := func(rest, name, summary string, body *huma.RequestBody) edge.Route {
		op := edge.At("POST", httpapi.PathUploads+"/{id}"+rest, name, summary)
		op.Parameters, op.RequestBody = []*huma.Param{edge.IDParam()}, body
		return edge.Route{Op: op, Access: edge.Bearer, Scope: access.JobsSubmit, JSON: true, Job: true,
			Late: lateUpload}
	}
	parts := at("/parts", "sign-upload-parts",
		"Where missing parts of a direct upload are to be sent; it goes on for as long as it is asked",
		edge.JSONBody[answer.UploadParts]())
	parts.Handle, parts.Body = h.parts, answer.DirectUpload{}
	complete := at("/complete", "complete-upload", "End a direct upload, all of whose parts are there: its job begins",
		edge.JSONBody[answer.UploadEnd]())
	complete.Handle, complete.Body = h.complete, job.Snapshot{}
	complete.Op.DefaultStatus = http.StatusAccepted
	return []edge.Route{parts, complete}
}

// isDirect tells a request that begins an upload in JSON from one of tus.
func isDirect(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	for _, name := range []string{"Tus-Resumable", headerMetadata, headerLength} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	return kind == httpapi.TypeJSON
}

// createDirect begins an upload to the bucket, and its job.
func (h Handler) createDirect(a *edge.Answer, r *http.Request) error {
	text, err := edge.ReadJSON(r)
	if err != nil {
		return err
	}
	req := submit.Request{InputSize: -1, Client: a.ClientText()}
	if err := req.ReadHeader(r.Header); err != nil {
		return err
	}
	if err := req.ReadDirect(text); err != nil {
		return err
	}
	if err := req.Permit(a.Who, a.Tenant()); err != nil {
		return err
	}
	end, err := h.Admit.Begin(a, r, req.InputSize)
	if err != nil {
		return err
	}
	defer end()
	u, created, err := h.Uploads.Begin(r.Context(), req, "")
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	want := submit.Wanted{From: 1, Count: submit.MaxSigned}
	return h.tell(a, r, u, want, status)
}

// tell answers how far an upload is, and where its missing parts go.
func (h Handler) tell(a *edge.Answer, r *http.Request, u *submit.Resumable, want submit.Wanted,
	status int) error {
	m, err := u.Missing(r.Context(), want)
	if err != nil {
		return err
	}
	out := answer.DirectUpload{ID: u.ID, Complete: u.Whole(), Size: u.Size, PartSize: m.PartSize,
		PartCount: m.PartCount, PartsDone: m.PartsDone, BytesDone: u.Offset, Next: m.Next,
		Parts: make([]answer.UploadPart, len(m.Signed)), URLsEnd: timeOf(m.URLsEnd),
		ExpiresAt: timeOf(u.Expires)}
	if m.Summed {
		out.Checksum = checksum
	}
	for i, p := range m.Signed {
		out.Parts[i] = answer.UploadPart{Number: p.Number, Size: p.Size, URL: p.URL, Headers: p.Headers}
	}
	header := a.Header()
	header.Set("Location", httpapi.UploadPath(u.ID))
	header.Set(httpapi.HeaderJob, string(u.ID))
	header.Set("Cache-Control", "no-store")
	edge.WriteJSON(a, status, out)
	return nil
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// find finds the upload that a request is about.
func (h Handler) find(a *edge.Answer, r *http.Request) (*submit.Resumable, error) {
	id, err := httpapi.PathID(r)
	if err != nil {
		return nil, err
	}
	return h.Uploads.Resume(r.Context(), submit.UploaderOf(a.Who, a.View(), false), id)
}

func (h Handler) parts(a *edge.Answer, r *http.Request) error {
	body := answer.UploadParts{From: 1}
	if err := edge.OptionalJSON(a, &body); err != nil {
		return err
	}
	want := submit.Wanted{From: body.From, Count: submit.MaxSigned}
	if body.Count != nil {
		want.Count = *body.Count
	}
	if body.SHA256 != nil {
		want.SHA256 = [][]byte{}
	}
	for i, text := range body.SHA256 {
		sum, err := sumOf("/sha256/"+strconv.Itoa(i), text)
		if err != nil {
			return err
		}
		want.SHA256 = append(want.SHA256, sum)
	}
	u, err := h.find(a, r)
	if err != nil {
		return err
	}
	return h.tell(a, r, u, want, http.StatusOK)
}

func (h Handler) complete(a *edge.Answer, r *http.Request) error {
	var body answer.UploadEnd
	if err := edge.OptionalJSON(a, &body); err != nil {
		return err
	}
	var sum []byte
	if body.SHA256 != "" {
		var err error
		if sum, err = sumOf("/sha256", body.SHA256); err != nil {
			return err
		}
	}
	u, err := h.find(a, r)
	if err != nil {
		return err
	}
	snap, err := u.Complete(r.Context(), sum)
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if snap.Done {
		status = http.StatusOK
	}
	snap = h.Show(snap)
	a.Header().Set("Location", snap.Links.Self)
	a.Header().Set(httpapi.HeaderJob, string(snap.ID))
	edge.WriteJSON(a, status, snap)
	return nil
}

func sumOf(at, text string) ([]byte, error) {
	sum, err := hex.DecodeString(text)
	if err != nil || len(sum) != 32 {
		return nil, httpapi.InvalidAt(at, "expected a SHA-256 sum in hexadecimal, 64 digits")
	}
	return sum, nil
}

// directBody describes what begins a direct upload.
func directBody() *huma.RequestBody {
	text := func(doc string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: doc} }
	sum := text("each part is to be sent with its SHA-256")
	sum.Enum = []any{checksum}
	s := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"type", "direct", "size"},
		Properties: map[string]*huma.Schema{
			"type": text("the kind of work"), "payload": {Description: "an object by the type's schema"},
			"direct": {Type: huma.TypeBoolean, Enum: []any{true},
				Description: "the bytes go straight to the bucket that jobs' files are in"},
			"size":     {Type: huma.TypeInteger, Format: "int64", Description: "of the input, in bytes"},
			"checksum": sum, "filename": text("what the input is called"),
			"content_type": text("what the input is; only noted"),
		}}
	for _, c := range httpapi.Controls {
		if c.In&httpapi.InBody != 0 {
			s.Properties[c.Name] = edge.ControlSchema(c, httpapi.InBody)
			s.Properties[c.Name].Description = c.Doc
		}
	}
	return &huma.RequestBody{Description: "For an upload straight to the bucket; one of tus says all in its headers.",
		Content: map[string]*huma.MediaType{httpapi.TypeJSON: {Schema: s}}}
}
