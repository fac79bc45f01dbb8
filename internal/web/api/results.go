package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Blobs opens outputs.
type Blobs interface {
	Open(ctx context.Context, name string) (blob.Reader, error)
}

// Results serves what jobs have made.
type Results struct {
	Records Records
	Blobs   Blobs
}

// Routes are what it serves.
func (h Results) Routes() []edge.Route {
	return []edge.Route{
		{Op: mayRedirect(edge.FileOperation(httpapi.PathJobs+"/{id}/result", "get-result",
			"The only output of a job, or else its result as JSON")),
			Access: edge.Bearer, Scope: access.JobsRead, Job: true, Handle: h.result},
		{Op: outputOperation(), Access: edge.Bearer, Scope: access.JobsRead, Job: true, Handle: h.output},
	}
}

// finished returns the snapshot of the request's job, which must have ended.
func (h Results) finished(a *edge.Answer, r *http.Request) (job.Snapshot, error) {
	id, err := httpapi.PathID(r)
	if err != nil {
		return job.Snapshot{}, err
	}
	snap, err := h.Records.Get(r.Context(), a.View(), id)
	if err != nil {
		return job.Snapshot{}, err
	}
	if !snap.Done {
		return job.Snapshot{}, httpapi.NewError(httpapi.Conflict, "the job has not ended")
	}
	return snap, nil
}

// output sends one output of a job.
func (h Results) output(a *edge.Answer, r *http.Request) error {
	snap, err := h.finished(a, r)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(snap.Outputs, func(o job.Output) bool { return o.Name == r.PathValue("name") })
	if i < 0 {
		return httpapi.NewError(httpapi.NotFound, "the job has no such output")
	}
	return h.send(a, r, snap, snap.Outputs[i])
}

// result sends the only output of a job, or else its result.
func (h Results) result(a *edge.Answer, r *http.Request) error {
	snap, err := h.finished(a, r)
	if err != nil {
		return err
	}
	if snap.State != job.Succeeded {
		return httpapi.NewError(httpapi.NotFound, fmt.Sprintf("the job has no result: it ended %s",
			snap.State))
	}
	if len(snap.Outputs) == 1 {
		return h.send(a, r, snap, snap.Outputs[0])
	}
	a.Header().Set("Etag", etag(snap))
	edge.WriteJSON(a, http.StatusOK, snap.Result)
	return nil
}

// shownTypes are those that a browser may show by itself: none of them can
// carry a script. All else is a download.
var shownTypes = []string{"application/json", "image/gif", "image/jpeg", "image/png", "image/webp",
	"text/csv", "text/plain"}

// readFor is how long an address that is signed for a download is good: it is to be used at once.
const readFor = 5 * time.Minute

// straight returns where an output is to be had without us, where the client asks for that and there is
// such a place; "" else: then it gets the output all the same, from us.
func (h Results) straight(r *http.Request, o job.Output, as blob.ReadAs) (string, error) {
	query := r.URL.Query()
	if !query.Has(paramDirect) || r.Method != http.MethodGet { // an address is signed for GET
		return "", nil
	}
	if text := query.Get(paramDirect); text != "" {
		wanted, err := strconv.ParseBool(text)
		if err != nil {
			return "", httpapi.InvalidAt("?"+paramDirect, "expected true, false or nothing")
		}
		if !wanted {
			return "", nil
		}
	}
	store, ok := h.Blobs.(blob.Direct)
	if !ok {
		return "", nil
	}
	return store.SignRead(r.Context(), o.Blob, as, readFor)
}

const paramDirect = "direct"

func mayRedirect(op huma.Operation) huma.Operation {
	op.Parameters = append(op.Parameters, &huma.Param{Name: paramDirect, In: "query",
		Schema: &huma.Schema{Type: huma.TypeBoolean}, AllowEmptyValue: true,
		Description: "a redirect to where a file is in the bucket; files that are on disk are sent as ever"})
	op.Responses["302"] = &huma.Response{Description: "Where the file is; for some minutes, and whoever has the address."}
	return op
}

func (h Results) send(a *edge.Answer, r *http.Request, snap job.Snapshot, o job.Output) error {
	kind, _, err := mime.ParseMediaType(o.ContentType)
	if err != nil {
		kind, o.ContentType = "application/octet-stream", "application/octet-stream"
	}
	disposition := "attachment"
	if slices.Contains(shownTypes, kind) {
		disposition = "inline"
	}
	disposition = mime.FormatMediaType(disposition, map[string]string{"filename": o.Name})
	address, err := h.straight(r, o, blob.ReadAs{ContentType: o.ContentType, Disposition: disposition})
	if err != nil {
		return err
	}
	if address != "" {
		a.Header().Set("Location", address)
		a.Header().Set("Cache-Control", "no-store")
		a.WriteHeader(http.StatusFound)
		return nil
	}
	content, err := h.Blobs.Open(r.Context(), o.Blob)
	if errors.Is(err, blob.ErrNotFound) {
		return httpapi.NewError(httpapi.NotFound, "the output is gone: the job's retention is over").Wrap(err)
	}
	if err != nil {
		return fmt.Errorf("open output %s of %s: %w", o.Name, snap.ID, err)
	}
	defer content.Close()

	header := a.Header()
	header.Set("Content-Type", o.ContentType)
	header.Set("Content-Disposition", disposition)
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if a.Who.Kind == access.KindToken { // for an <img> in a page of another origin
		header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	header.Set("Cache-Control", "private, no-cache") // it never changes, but it may go
	if sum, err := hex.DecodeString(o.SHA256); err == nil && len(sum) > 0 {
		digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
		header.Set("Etag", `"`+o.SHA256+`"`)
		header.Set(httpapi.HeaderReprDigest, digest)
		header.Set(httpapi.HeaderContentDigest, digest)
	}
	var ended time.Time
	if snap.FinishedAt != nil {
		ended = *snap.FinishedAt
	}
	http.ServeContent(wholeDigest{a}, r, "", ended, content)
	return nil
}

// wholeDigest takes Content-Digest back where less than the whole is sent: it
// is the digest of the message's content (RFC 9530, section 2).
type wholeDigest struct{ http.ResponseWriter }

func (w wholeDigest) WriteHeader(status int) {
	if status != http.StatusOK {
		w.Header().Del(httpapi.HeaderContentDigest)
	}
	w.ResponseWriter.WriteHeader(status)
}

func outputOperation() huma.Operation {
	op := edge.FileOperation(httpapi.PathJobs+"/{id}/outputs/{name}", "get-output",
		"One output of a job; takes Range")
	op.Parameters = append(op.Parameters, &huma.Param{Name: "name", In: "path", Required: true,
		Description: "the output's name", Schema: &huma.Schema{Type: huma.TypeString}})
	return mayRedirect(op)
}
