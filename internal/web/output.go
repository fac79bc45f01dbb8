package web

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"time"

	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/job"
)

// finished returns the snapshot of the request's job, which must have ended.
func (s *Server) finished(r *http.Request) (job.Snapshot, error) {
	id, err := job.ParseID(r.PathValue("id"))
	if err != nil {
		return job.Snapshot{}, invalid("/path/id", err.Error())
	}
	snap, err := s.Records.Get(r.Context(), id)
	if err != nil {
		return job.Snapshot{}, err
	}
	if !snap.Done {
		return job.Snapshot{}, httpapi.NewError(httpapi.Conflict, "the job has not ended")
	}
	return snap, nil
}

// output sends one output of a job.
func (s *Server) output(w http.ResponseWriter, r *http.Request) error {
	snap, err := s.finished(r)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(snap.Outputs, func(o job.Output) bool { return o.Name == r.PathValue("name") })
	if i < 0 {
		return httpapi.NewError(httpapi.NotFound, "the job has no such output")
	}
	return s.sendOutput(w, r, snap, snap.Outputs[i])
}

// result sends the only output of a job, or else its result.
func (s *Server) result(w http.ResponseWriter, r *http.Request) error {
	snap, err := s.finished(r)
	if err != nil {
		return err
	}
	if snap.State != job.Succeeded {
		return httpapi.NewError(httpapi.NotFound, fmt.Sprintf("the job has no result: it ended %s", snap.State))
	}
	if len(snap.Outputs) == 1 {
		return s.sendOutput(w, r, snap, snap.Outputs[0])
	}
	w.Header().Set("Etag", etag(snap))
	writeJSON(w, http.StatusOK, snap.Result)
	return nil
}

// shownTypes are those that a browser may show by itself: none of them can
// carry a script. All else is a download.
var shownTypes = []string{"application/json", "image/gif", "image/jpeg", "image/png", "image/webp", "text/csv", "text/plain"}

func (s *Server) sendOutput(w http.ResponseWriter, r *http.Request, snap job.Snapshot, o job.Output) error {
	content, err := s.Blobs.Open(r.Context(), o.Blob)
	if errors.Is(err, blob.ErrNotFound) {
		return httpapi.NewError(httpapi.NotFound, "the output is gone: the job's retention is over").Wrap(err)
	}
	if err != nil {
		return fmt.Errorf("open output %s of %s: %w", o.Name, snap.ID, err)
	}
	defer content.Close()

	h := w.Header()
	kind, _, err := mime.ParseMediaType(o.ContentType)
	if err != nil {
		kind, o.ContentType = "application/octet-stream", "application/octet-stream"
	}
	disposition := "attachment"
	if slices.Contains(shownTypes, kind) {
		disposition = "inline"
	}
	h.Set("Content-Type", o.ContentType)
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": o.Name}))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "private, no-cache") // it never changes, but it may go
	if sum, err := hex.DecodeString(o.SHA256); err == nil && len(sum) > 0 {
		digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
		h.Set("Etag", `"`+o.SHA256+`"`)
		h.Set(httpapi.HeaderReprDigest, digest)
		h.Set(httpapi.HeaderContentDigest, digest)
	}
	var ended time.Time
	if snap.FinishedAt != nil {
		ended = *snap.FinishedAt
	}
	http.ServeContent(wholeDigest{w}, r, "", ended, content)
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
