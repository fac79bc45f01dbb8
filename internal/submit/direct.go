package submit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/job"
)

// A direct upload is one in pieces whose bytes don't come by us: its client sends each part to an address
// that the blob store has signed, and says when all are there. Who completes it and who finds it
// completed do the same as for any upload in pieces. No request of it needs the lock: none appends, and
// the blob store completes once.

const (
	// MaxSigned is how many addresses one answer has.
	MaxSigned = 100
	// signedFor is how long one is good, and no longer than its upload is.
	signedFor = time.Hour
)

// Wanted is what a client asks of a direct upload.
type Wanted struct {
	From   int      // the part to begin with; 1 is the first
	Count  int      // how many parts to look at, at most MaxSigned
	SHA256 [][]byte // of as many parts from there on, for an upload that is summed; then Count means nothing
}

// Missing is how far a direct upload is.
type Missing struct {
	PartSize  int64 // bytes, of each part but the last
	PartCount int
	Summed    bool
	PartsDone int // those of the right length that are there
	BytesDone int64
	Signed    []SignedPart // parts that are missing, of those that were asked for
	Next      int          // the first that was not looked at; 0 = there is none
	URLsEnd   time.Time    // of the addresses
}

// A SignedPart is where a part is to be sent, by PUT.
type SignedPart struct {
	Number int
	Size   int64 // bytes
	blob.Signed
}

// takes returns the blob store as one that takes what a request wants to bring.
func (d *Submitter) takes(r Request) (blob.Pieces, error) {
	if r.Direct {
		direct, ok := d.Blobs.(blob.Direct)
		if !ok {
			return nil, notDirect()
		}
		return direct, nil
	}
	pieces, ok := d.Blobs.(blob.Pieces)
	if !ok {
		return nil, httpapi.NewError(httpapi.Unsupported, "the blob store takes no uploads in pieces").
			WithStatus(http.StatusNotImplemented)
	}
	return pieces, nil
}

func begin(ctx context.Context, pieces blob.Pieces, name string, r Request) (token string, err error) {
	if direct, ok := pieces.(blob.Direct); ok && r.Direct {
		return direct.BeginDirect(ctx, name, r.InputSize, r.Summed)
	}
	return pieces.Begin(ctx, name, r.InputSize)
}

func notDirect() *httpapi.Error {
	return httpapi.InvalidAt("/direct", "the files of jobs are on disk here, so there is no bucket to send them to: "+
		"send this one in one request, or in pieces by tus")
}

func otherWay(detail string) *httpapi.Error { return httpapi.NewError(httpapi.Invalid, detail) }

func (u *Resumable) direct() bool { return u.spec.Upload.Direct }

// Whole reports whether the job no longer waits for its input.
func (u *Resumable) Whole() bool { return u.queued }

// straight returns the blob store as one that signs, if the upload is direct.
func (u *Resumable) straight() (blob.Direct, error) {
	store, ok := u.pieces.(blob.Direct)
	switch {
	case !u.direct():
		return nil, otherWay("this upload comes in pieces by tus, through this server")
	case !ok: // the files have been moved meanwhile
		return nil, notDirect()
	}
	return store, nil
}

// made reports whether a direct upload was completed already, by who didn't come to say so.
func (u *Resumable) made(ctx context.Context) bool {
	store, err := u.straight()
	if err != nil {
		return false
	}
	parts, err := store.Parts(ctx, inputName(u.ID), u.spec.Upload.Token)
	return err == nil && parts.Made
}

// Missing tells how far a direct upload is, also its job, puts its end off, and signs addresses for parts
// that are not there. One that is whole has none.
func (u *Resumable) Missing(ctx context.Context, w Wanted) (Missing, error) {
	store, err := u.straight()
	if err != nil || u.queued {
		return Missing{}, err
	}
	parts, err := store.Parts(ctx, inputName(u.ID), u.spec.Upload.Token)
	if errors.Is(err, blob.ErrNotFound) {
		return Missing{}, gone()
	}
	if err != nil {
		return Missing{}, refusal.Of(err)
	}
	m := Missing{PartSize: parts.PartSize, PartCount: parts.Count(), Summed: parts.Summed}
	there := map[int]blob.Part{}
	for _, p := range parts.There {
		if parts.Right(p) {
			there[p.Number] = p
			m.PartsDone++
			m.BytesDone += p.Size
		}
	}
	u.Offset = m.BytesDone
	if err := u.stays(ctx); err != nil || u.queued { // and tells how far it is
		return Missing{}, err
	}
	if parts.Made { // who completed it has not come to say so, or is about to
		return m, u.finish(ctx, store.FinishPieces)
	}
	if err := w.check(&parts); err != nil {
		return Missing{}, err
	}
	life := min(signedFor, u.submitter.UploadExpiry).Truncate(time.Second)
	m.URLsEnd = time.Now().Add(life)
	end := min(w.From+w.Count, m.PartCount+1)
	for number := w.From; number < end; number++ {
		part := blob.Part{Number: number, Size: parts.Length(number)}
		if parts.Summed {
			part.SHA256 = w.SHA256[number-w.From]
		}
		if p, ok := there[number]; ok && (!parts.Summed || bytes.Equal(p.SHA256, part.SHA256)) {
			continue
		}
		signed, err := store.SignPart(ctx, inputName(u.ID), parts, part, life)
		if err != nil {
			return Missing{}, refusal.Of(err)
		}
		m.Signed = append(m.Signed, SignedPart{Number: number, Size: part.Size, Signed: signed})
	}
	if end <= m.PartCount {
		m.Next = end
	}
	return m, nil
}

// stays puts the upload's end off, unless it was completed meanwhile.
func (u *Resumable) stays(ctx context.Context) error {
	err := u.beat(ctx)
	if errors.Is(err, jobstore.ErrLost) {
		now, err := u.submitter.Resume(ctx, Uploader{View: access.Everything}, u.ID)
		if err == nil {
			*u = *now
		}
		return err
	}
	if err != nil {
		return refusal.Of(err)
	}
	_ = u.submitter.Store.OpenUpload(ctx, u.ID, u.spec.Upload.Client, u.submitter.UploadExpiry, 0, 0)
	u.Expires = time.Now().Add(u.submitter.UploadExpiry)
	return nil
}

// check fills in what wasn't said.
func (w *Wanted) check(parts *blob.Parts) error {
	switch {
	case parts.Summed:
		w.Count = len(w.SHA256)
	case w.SHA256 != nil:
		return httpapi.InvalidAt("/sha256", "the upload was begun without checksum: sha256")
	}
	if w.Count < 0 || w.Count > MaxSigned {
		return httpapi.InvalidAt("", fmt.Sprintf("expected at most %d parts", MaxSigned))
	}
	if last := parts.Count(); w.From < 1 || w.From > last+1 || parts.Summed && w.From+w.Count > last+1 {
		return httpapi.InvalidAt("/from", fmt.Sprintf("the upload has %d parts", last))
	}
	return nil
}

// Complete makes the job of a direct upload queued, once all parts are there, of the right length, and,
// if it is summed, with sum as the SHA-256 of their SHA-256 sums, one after the other. It may be
// repeated, and by several at once. One that is refused may be mended, and completed then.
func (u *Resumable) Complete(ctx context.Context, sum []byte) (job.Snapshot, error) {
	store, err := u.straight()
	if err != nil {
		return job.Snapshot{}, err
	}
	err = u.finish(ctx, func(ctx context.Context, name, token string) (blob.Info, error) {
		return store.FinishDirect(ctx, name, token,
			func(parts blob.Parts) error { return whole(&parts, sum) })
	})
	if err != nil {
		return job.Snapshot{}, err
	}
	return u.submitter.snapshot(ctx, u.ID)
}

// whole refuses parts that are not those of a whole upload.
func whole(parts *blob.Parts, sum []byte) error {
	if !parts.Summed && sum != nil {
		return httpapi.InvalidAt("/sha256", "the upload was begun without checksum: sha256")
	}
	var wrong []httpapi.Pointer
	var missing []string
	digest, next := sha256.New(), 1
	skip := func(upTo int) {
		for ; next < upTo; next++ {
			missing = append(missing, fmt.Sprint(next))
		}
	}
	for _, p := range parts.There {
		if p.Number > parts.Count() {
			break
		}
		skip(p.Number)
		next++
		at := fmt.Sprintf("/parts/%d", p.Number)
		switch want := parts.Length(p.Number); {
		case len(wrong) == httpapi.MaxPointers:
		case p.Size != want:
			wrong = append(wrong, httpapi.Pointer{Pointer: at,
				Detail: fmt.Sprintf("has %d bytes, expected %d: send it again", p.Size, want)})
		case parts.Summed && p.SHA256 == nil:
			wrong = append(wrong, httpapi.Pointer{Pointer: at,
				Detail: "the bucket's server keeps no SHA-256 of it: begin without checksum"})
		}
		_, _ = digest.Write(p.SHA256)
	}
	skip(parts.Count() + 1)
	switch {
	case wrong != nil:
		return httpapi.NotValid(wrong...)
	case missing != nil:
		shown := missing[:min(len(missing), 20)]
		return httpapi.NewError(httpapi.Conflict, fmt.Sprintf("%d of %d parts are not there: %s%s", len(missing),
			parts.Count(), strings.Join(shown, ", "), map[bool]string{true: ", …"}[len(shown) < len(missing)]))
	case parts.Summed && parts.Count() > 0 && !bytes.Equal(sum, digest.Sum(nil)):
		return httpapi.InvalidAt("/sha256", "expected the SHA-256 of the parts' SHA-256 sums, one after the other: "+
			"the parts that are there have other bytes")
	}
	return nil
}
