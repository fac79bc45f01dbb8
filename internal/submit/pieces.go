package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/job"
)

// A Resumable is an upload in pieces, as it was found. Its job is uploading
// until the last byte is there, and is then queued by whoever notices first.
// One process at a time may append: callers hold a lock.
type Resumable struct {
	ID       job.ID
	Size     int64 // bytes, as declared
	Offset   int64 // bytes that are there, durably
	Metadata string
	Expires  time.Time // unless more comes until then; zero once it is whole

	submitter *Submitter
	pieces    blob.Pieces
	fence     string
	spec      jobstore.Spec
	typ       string
	trace     string // traceparent; "" = none
	queued    bool   // the job no longer waits for it
	// reached is what clients were told of the whole. Bytes that came and got lost
	// before they were durable count there, so that it never goes back.
	reached float64
}

// Begin creates the record of a job whose input, of r.InputSize bytes, will
// come in pieces. r.Input is not used. created is false if the idempotency key
// or the chosen id named an upload that was there already.
func (d *Submitter) Begin(ctx context.Context, r Request,
	metadata string) (u *Resumable, created bool, err error) {
	pieces, err := d.takes(r)
	if err != nil {
		return nil, false, err
	}
	if most := d.most(&r); most > 0 && r.InputSize > most {
		return nil, false, tooLarge(most)
	}
	r.Input = http.NoBody // there will be one: check and digest want to know
	n, _, err := d.check(r)
	if err == nil {
		err = d.Room()
	}
	if err == nil {
		err = d.checkAfter(ctx, r, &n)
	}
	if err == nil && r.UniqueKey != "" {
		err = httpapi.InvalidAt("/unique_key", "is not for uploads in pieces")
	}
	if err == nil {
		err = d.admitUpload(ctx, &n)
	}
	if err != nil {
		return nil, false, err
	}
	defer d.trace(ctx, &n)(&err)
	// The partial blob comes first, since the record names its token. Without a
	// record it is an orphan, and swept. Each try of a client while there is no job
	// store would leave one: so that is asked before, for what it can say as well.
	there, err := d.there(ctx, n)
	if err == nil {
		err = d.open(ctx, n.ID, r.Client, there)
	}
	if err != nil {
		return nil, false, err
	}
	token, err := begin(ctx, pieces, inputName(n.ID), r)
	if err != nil {
		d.closeUpload(ctx, n.ID, r.Client)
		return nil, false, refusal.Of(err)
	}
	n.UploadFence, n.UploadExpiry = jobstore.NewFence(), d.UploadExpiry
	n.Spec.Upload = &jobstore.Upload{Size: r.InputSize, Token: token, Direct: r.Direct, Metadata: metadata,
		ContentType: plainName(r.ContentType), Filename: plainName(r.Filename), Client: r.Client,
		Maker: r.maker}
	c, err := d.Store.Create(ctx, n)
	if refused := errors.Is(err, jobstore.ErrMismatch) || errors.Is(err, jobstore.ErrClaimed); refused ||
		err == nil && !c.New {
		if err := pieces.Drop(ctx, inputName(n.ID), token); err != nil {
			d.Log.WarnContext(ctx, "partial blob stays until orphans are swept", "job_id", n.ID, "error", err)
		}
		if c.ID != n.ID { // not this very id's, whose upload is open
			d.closeUpload(ctx, n.ID, r.Client)
		}
	}
	if err != nil {
		return nil, false, refusal.Of(err) // its outcome may be unknown: nothing else is undone
	}
	if !c.New && c.Upload != "" && !c.Pieces {
		return nil, false, conflict("another request sends the input of this key or id, whole", 2*time.Second)
	}
	if !c.New {
		u, err := d.Resume(ctx, Uploader{View: access.Everything}, c.ID)
		if err == nil && (u.Size != r.InputSize || u.direct() != r.Direct) {
			return nil, false, refusal.Of(jobstore.ErrMismatch)
		}
		return u, false, err
	}
	u = &Resumable{ID: n.ID, Size: r.InputSize, Metadata: metadata, Expires: time.Now().Add(d.UploadExpiry),
		submitter: d, pieces: pieces, fence: n.UploadFence, spec: n.Spec,
		typ: n.Type, trace: n.Traceparent}
	_ = u.beat(ctx) // only the first progress: without it the record has none yet
	return u, true, nil
}

// An Uploader is who goes on with an upload, looks at it or ends it.
type Uploader struct {
	access.View
	Maker string // only what this one began; "" = all that are seen
}

// UploaderOf is what somebody may do with uploads by their ids: who may not read jobs goes on with his own
// alone, and who may not cancel jobs ends his own alone. What a page may see its token says.
func UploaderOf(who *access.Principal, by access.View, ends bool) Uploader {
	want := access.JobsRead
	if ends {
		want = access.JobsCancel
	}
	if who == nil || who.Grant != nil || who.May(want, false) {
		return Uploader{View: by}
	}
	return Uploader{View: by, Maker: who.ID}
}

func inputName(id job.ID) string { return jobstore.Folder(id) + "/in" }

// Resume finds an upload in pieces. One that is whole is finished by the way,
// for who was to do so may have died. The error says 404 if there is no such
// upload, 410 if there was one.
func (d *Submitter) Resume(ctx context.Context, by Uploader, id job.ID) (*Resumable, error) {
	pieces, ok := d.Blobs.(blob.Pieces)
	if !ok {
		return nil, refusal.Of(job.ErrNotFound)
	}
	r, err := d.Store.Views().Read(ctx, by.View, id)
	if err != nil {
		return nil, noUpload(err)
	}
	if !by.began(r.Spec.Upload) {
		return nil, noUpload(d.Store.Missing(ctx, id))
	}
	u := &Resumable{ID: id, submitter: d, pieces: pieces, fence: r.Fence, spec: r.Spec,
		typ: r.Snapshot.Type, trace: r.Snapshot.Traceparent}
	switch up := r.Spec.Upload; {
	case r.UploadEnd == nil:
		return nil, noUpload(job.ErrNotFound)
	case up == nil: // a failed one: what it was to do is forgotten
		return nil, gone()
	case r.Spec.Input != nil:
		u.Size, u.Offset, u.Metadata, u.queued = up.Size, up.Size, up.Metadata, true
		return u, nil
	case r.Snapshot.State != job.Uploading:
		return nil, gone()
	default:
		u.Size, u.Metadata, u.Expires = up.Size, up.Metadata, *r.UploadEnd
		if p := r.Snapshot.Progress; p != nil {
			u.reached, u.Offset = p.Reached, p.BytesDone
		}
	}
	if u.direct() { // its client asks for its parts
		return u, nil
	}
	u.Offset, err = pieces.Offset(ctx, inputName(id), u.spec.Upload.Token)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, gone()
	}
	if err != nil {
		return nil, refusal.Of(err)
	}
	if u.Offset == u.Size {
		return u, u.Finish(ctx)
	}
	return u, nil
}

// Sees reports whether there is a job for who asks, of whatever kind. The error says what Resume's would.
func (d *Submitter) Sees(ctx context.Context, by Uploader, id job.ID) error {
	if by.Maker != "" {
		r, err := d.Store.Views().Read(ctx, by.View, id)
		if err == nil && !by.began(r.Spec.Upload) {
			err = d.Store.Missing(ctx, id)
		}
		if err != nil {
			return noUpload(err)
		}
		return nil
	}
	if by.All() {
		return nil
	}
	revs, err := d.Store.Revs(ctx, []job.ID{id})
	switch {
	case err != nil:
		return refusal.Of(err)
	case revs[0].Missing || !by.Sees(revs[0].Tenant, revs[0].Owner):
		return noUpload(d.Store.Missing(ctx, id))
	}
	return nil
}

// began reports whether an upload is one that may be gone on with. One of which nothing is kept any more
// is nobody's to be told of.
func (u Uploader) began(up *jobstore.Upload) bool {
	return u.Maker == "" || up != nil && up.Maker == u.Maker
}

func noUpload(err error) error {
	if errors.Is(err, job.ErrNotFound) && !errors.Is(err, job.ErrStoreReset) {
		return httpapi.NewError(httpapi.NotFound, "there is no such upload").Wrap(err)
	}
	return refusal.Of(err)
}

func gone() error {
	return httpapi.NewError(httpapi.NotFound, "the upload has ended, and its job with it").
		WithStatus(http.StatusGone)
}

// Append adds what body yields, and returns how many bytes of it are durable,
// also beside an error. interrupt must end a read of body that blocks: it is
// called if the job is canceled meanwhile.
func (u *Resumable) Append(ctx context.Context, body io.Reader, interrupt func()) (int64, error) {
	if u.direct() {
		return 0, otherWay("this upload's parts go to the addresses that are signed for them")
	}
	sent := time.Now()
	if err := u.beat(ctx); err != nil {
		if errors.Is(err, jobstore.ErrLost) {
			return 0, u.whyLost(ctx)
		}
		return 0, refusal.Of(err)
	}
	// It counts for as long as it can be silent from here on. A failure costs the
	// count a little, and nobody an upload.
	_ = u.submitter.Store.OpenUpload(ctx, u.ID, u.spec.Upload.Client, u.submitter.UploadExpiry, 0, 0)
	counter := &counter{Reader: body, total: u.Size, reached: u.reached}
	counter.done.Store(u.Offset)
	var lost atomic.Bool
	hold := &jobstore.Hold{ID: u.ID, Fence: u.fence, For: u.submitter.UploadExpiry, Sent: sent,
		Progress: counter.progress, Stop: func(error) { lost.Store(true); interrupt() }}
	u.submitter.Keeper.Keep(hold)
	n, err := u.pieces.Append(ctx, inputName(u.ID), u.spec.Upload.Token, u.Offset, counter)
	hold.Drop() // from here on nobody asks the counter
	u.reached = counter.reached
	u.Offset += n
	u.Expires = time.Now().Add(u.submitter.UploadExpiry)
	switch {
	case lost.Load():
		return n, u.whyLost(ctx)
	case err != nil:
		return n, refusal.Of(err)
	}
	if u.Offset < u.Size {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = u.beat(last) // what it would tell is told by the next one
	}
	return n, nil
}

// beat puts the upload's end off and tells how far it is.
func (u *Resumable) beat(ctx context.Context) error {
	p := &job.Progress{Phase: job.PhaseUpload, BytesDone: u.Offset, BytesTotal: u.Size}
	new(job.Meter).Measure(p, time.Now(), u.Offset, u.Size)
	p.Reached = max(p.Reached, u.reached)
	replies, err := u.submitter.Store.Beats(ctx,
		[]jobstore.Beat{{ID: u.ID, Fence: u.fence, Renew: true, For: u.submitter.UploadExpiry, Progress: p}})
	if err != nil {
		return err
	}
	return replies[0].Err
}

// whyLost says what became of an upload that no longer is one.
func (u *Resumable) whyLost(ctx context.Context) error {
	if _, err := u.submitter.Resume(ctx, Uploader{View: access.Everything}, u.ID); err != nil {
		return err
	}
	return httpapi.NewError(httpapi.Conflict, "the upload is whole already")
}

// A counter counts what is read through it.
type counter struct {
	io.Reader
	total int64
	done  atomic.Int64
	meter job.Meter
	told  int64

	reached float64 // of the whole, as told
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.done.Add(int64(n))
	return n, err
}

// progress is asked by the keeper, from one goroutine.
func (c *counter) progress() *job.Progress {
	done := c.done.Load()
	if done == c.told {
		return nil
	}
	c.told = done
	p := &job.Progress{Phase: job.PhaseUpload, BytesDone: done, BytesTotal: c.total}
	c.meter.Measure(p, time.Now(), done, c.total)
	c.reached = max(c.reached, p.Reached)
	p.Reached = c.reached
	return p
}

// Finish makes the job of a whole upload queued. It may be repeated, by several
// processes at once: the blob has one name, and the record takes one of them.
func (u *Resumable) Finish(ctx context.Context) error {
	if u.direct() {
		return otherWay("this upload is completed by POST " + httpapi.CompletePath(u.ID))
	}
	return u.finish(ctx, u.pieces.FinishPieces)
}

func (u *Resumable) finish(ctx context.Context,
	make func(ctx context.Context, name, token string) (blob.Info, error)) error {
	if u.queued {
		return nil
	}
	// a client that left takes nothing back
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	info, err := make(ctx, inputName(u.ID), u.spec.Upload.Token)
	if errors.Is(err, blob.ErrNotFound) {
		return gone() // dropped meanwhile, with its job
	}
	if err != nil {
		return refusal.Of(fmt.Errorf("finish upload %s: %w", u.ID, err))
	}
	spec := u.spec
	spec.Input = &jobstore.Input{Blob: inputName(u.ID), Size: info.Size, ContentType: info.ContentType,
		Filename: spec.Upload.Filename}
	_, err = u.submitter.Store.Uploaded(ctx, u.ID, u.fence, spec)
	switch {
	case errors.Is(err, jobstore.ErrLost), errors.Is(err, job.ErrNotFound):
		there, err := u.submitter.whole(ctx, u.ID, inputName(u.ID))
		if there || err != nil {
			u.queued = there
			return err
		}
		// what is there goes with the record, or as an orphan: the id may be another upload's by now
		return gone()
	case err != nil:
		return refusal.Of(err)
	}
	u.queued, u.Expires = true, time.Time{}
	u.submitter.uploaded(u.trace, u.ID, u.typ, u.ID.Time())
	u.submitter.closeUpload(ctx, u.ID, spec.Upload.Client)
	return nil
}

// whole reports whether a job has an input of this name: somebody else, or an
// earlier call whose answer was lost, has said so. The job may have ended since.
func (d *Submitter) whole(ctx context.Context, id job.ID, name string) (bool, error) {
	r, err := d.Store.Read(ctx, id)
	if errors.Is(err, job.ErrNotFound) && !errors.Is(err, job.ErrStoreReset) { // then the bytes stay
		return false, nil
	}
	if err != nil {
		return false, refusal.Of(err)
	}
	return r.Spec.Input != nil && r.Spec.Input.Blob == name, nil
}

// Terminate cancels the upload's job, whatever it has come to, and deletes what is there.
func (u *Resumable) Terminate(ctx context.Context) error {
	if err := u.submitter.Store.RequestCancel(ctx, u.ID); err != nil {
		return refusal.Of(err)
	}
	if u.queued {
		return nil // the job's files go with the job
	}
	u.submitter.closeUpload(ctx, u.ID, u.spec.Upload.Client)
	if err := u.pieces.Drop(ctx, inputName(u.ID), u.spec.Upload.Token); err != nil {
		return refusal.Of(err)
	}
	return nil
}

// LookAfter finishes an upload in pieces that is whole, and ends one that is
// over. The sweeper calls it when nothing was heard of one for a while.
func (d *Submitter) LookAfter(ctx context.Context, id job.ID) error {
	pieces, ok := d.Blobs.(blob.Pieces)
	r, err := d.Store.Read(ctx, id)
	if !ok || errors.Is(err, job.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look after upload %s: %w", id, err)
	}
	if r.Snapshot.State != job.Uploading || r.Spec.Upload == nil || r.UploadEnd == nil {
		return nil
	}
	offset, err := pieces.Offset(ctx, inputName(id), r.Spec.Upload.Token)
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("look after upload %s: %w", id, err)
	}
	u := &Resumable{ID: id, submitter: d, pieces: pieces, fence: r.Fence, spec: r.Spec, Size: offset,
		Offset: offset, typ: r.Snapshot.Type, trace: r.Snapshot.Traceparent}
	if whole := err == nil && offset == r.Spec.Upload.Size; whole && (!u.direct() || u.made(ctx)) {
		if err := u.finish(ctx, pieces.FinishPieces); err != nil {
			return fmt.Errorf("look after upload %s: %w", id, err)
		}
		d.Log.InfoContext(ctx, "whole upload found and finished", "job_id", id)
		return nil
	}
	if time.Now().Before(*r.UploadEnd) {
		return nil
	}
	end := jobstore.End{Outcome: jobstore.Failed, Code: job.UploadIncomplete,
		Message: fmt.Sprintf("the upload expired at byte %d of %d", offset, r.Spec.Upload.Size)}
	if _, err := d.Store.Finish(ctx, id, r.Fence, end); err != nil && !errors.Is(err, jobstore.ErrLost) {
		return fmt.Errorf("end upload %s: %w", id, err)
	}
	d.closeUpload(ctx, id, r.Spec.Upload.Client)
	return pieces.Drop(ctx, inputName(id), r.Spec.Upload.Token)
}

// DropPartial deletes what is there of an upload whose job was canceled.
func (d *Submitter) DropPartial(ctx context.Context, id job.ID) error {
	pieces, ok := d.Blobs.(blob.Pieces)
	if !ok {
		return nil
	}
	r, err := d.Store.Read(ctx, id)
	if errors.Is(err, job.ErrNotFound) {
		return nil
	}
	if err != nil || r.Spec.Upload == nil || r.Spec.Input != nil || r.Snapshot.State == job.Uploading {
		return err
	}
	d.closeUpload(ctx, id, r.Spec.Upload.Client)
	return pieces.Drop(ctx, inputName(id), r.Spec.Upload.Token)
}

// SweepPartials drops partial blobs older than a time that no uploading job names.
func (d *Submitter) SweepPartials(ctx context.Context, before time.Time) error {
	pieces, ok := d.Blobs.(blob.Pieces)
	if !ok {
		return nil
	}
	for p, err := range pieces.Partials(ctx, before) {
		if err != nil {
			return err
		}
		id, err := jobstore.ParseFolder(p.Job())
		if err != nil {
			continue // not ours
		}
		r, err := jobstore.Record{}, job.ErrNotFound
		if p.Job() == jobstore.Folder(id) { // else of a record of format 2, which are gone
			r, err = d.Store.Read(ctx, id)
		}
		switch {
		case err != nil && (!errors.Is(err, job.ErrNotFound) || errors.Is(err, job.ErrStoreReset)):
			return fmt.Errorf("sweep partial blob of %s: %w", id, err)
		case err == nil && r.Snapshot.State == job.Uploading && r.Spec.Upload != nil &&
			r.Spec.Upload.Token == p.Token:
			continue
		}
		if err := pieces.Drop(ctx, p.Name, p.Token); err != nil {
			return err
		}
		d.Log.InfoContext(ctx, "orphan partial blob deleted", "job_id", id)
	}
	return nil
}
