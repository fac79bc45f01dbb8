package claims

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"longshore/internal/blob"
	"longshore/internal/gather"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/job"
)

// maxKind is how long a media type may be, in bytes.
const maxKind = 200

// maxOutputs is how many outputs a job may have, as in package worker.
const maxOutputs = 100

// holds is the record of a job whose claim is good.
func (d *Desk) holds(ctx context.Context, who Who, id job.ID, claim string) (jobstore.Record, error) {
	held, err := d.Store.Holds(ctx, who.View, id, jobstore.FenceOf(claim))
	if errors.Is(err, jobstore.ErrLost) {
		return held, lost()
	}
	if err == nil && !who.may(held.Snapshot.Type) {
		return held, job.ErrNotFound
	}
	return held, err
}

func lost() error {
	return httpapi.NewError(httpapi.Lost, "the claim is another's by now, or the job has ended")
}

// Input opens the input of a claimed job. Errors: those of claims, NotFound of a job without one, Redis's,
// and the blob store's.
func (d *Desk) Input(ctx context.Context, who Who, id job.ID, claim string) (*jobstore.Input,
	blob.Reader, error) {
	held, err := d.holds(ctx, who, id, claim)
	if err != nil {
		return nil, nil, err
	}
	in := held.Spec.Input
	if in == nil && held.Spec.Gather != "" {
		in = gather.Input(id, held.Fence)
		content, err := d.Blobs.Open(ctx, in.Blob)
		if errors.Is(err, blob.ErrNotFound) {
			if _, err = gather.Write(ctx, d.Batches, d.Blobs, held.Spec.Gather, in.Blob); err == nil {
				content, err = d.Blobs.Open(ctx, in.Blob)
			}
		}
		return in, content, err
	}
	if in == nil {
		return nil, nil, httpapi.NewError(httpapi.NotFound, "the job has no input")
	}
	content, err := d.Blobs.Open(ctx, in.Blob)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, nil, httpapi.NewError(httpapi.NotFound, "the job's input is gone").Wrap(err)
	}
	return in, content, err
}

// An Output is one that a claimed run sends.
type Output struct {
	ID          job.ID
	Claim, Name string
	ContentType string // "" = as its bytes look
	Size        int64  // < 0 = not known
	Content     io.Reader
}

// PutOutput keeps an output until its run ends; one of the same name takes the place of that before.
func (d *Desk) PutOutput(ctx context.Context, who Who, o Output) (job.Output, error) {
	none := job.Output{}
	held, err := d.holds(ctx, who, o.ID, o.Claim)
	if err != nil {
		return none, err
	}
	if o.Size > d.MaxOutput {
		return none, d.tooLarge()
	}
	name := jobstore.Folder(o.ID) + "/" + held.Fence + "/" + rand.Text()[:8] + "/" + o.Name
	if strings.Contains(o.Name, "/") || blob.CheckName(name) != nil {
		return none, httpapi.InvalidAt("/name", "expected the name of a file, without slashes")
	}
	file, err := d.Blobs.Create(ctx, name)
	if err != nil {
		return none, err
	}
	defer func() { _ = file.Abort() }() // after Commit it does nothing
	n, err := io.Copy(file, io.LimitReader(o.Content, d.MaxOutput+1))
	if err != nil {
		return none, err
	}
	if n > d.MaxOutput {
		return none, d.tooLarge()
	}
	info, err := file.Commit()
	if err != nil {
		return none, err
	}
	made := job.Output{Name: o.Name, Size: info.Size, SHA256: info.SHA256, ContentType: o.ContentType,
		Blob: name}
	if _, _, err := mime.ParseMediaType(made.ContentType); err != nil || len(made.ContentType) > maxKind {
		made.ContentType = info.ContentType
	}
	err = d.Store.NoteOutput(ctx, o.ID, held.Fence, made, d.MaxOutput, maxOutputs)
	switch {
	case err == nil:
		return made, nil
	case errors.Is(err, jobstore.ErrLost):
		err = lost()
	case errors.Is(err, jobstore.ErrLargeOutputs):
		err = d.tooLarge()
	case errors.Is(err, jobstore.ErrManyOutputs):
		err = httpapi.NewError(httpapi.TooLarge, fmt.Sprintf("more than %d outputs, or each was sent again and again",
			maxOutputs))
	default:
		return none, err // it may be noted: then it is needed
	}
	_ = d.Blobs.Remove(context.WithoutCancel(ctx), name) // what stays goes with the job's other files
	return none, err
}

func (d *Desk) tooLarge() error {
	return httpapi.NewError(httpapi.TooLarge,
		fmt.Sprintf("outputs are over %d bytes, the most that an attempt may write, replaced ones counted",
			d.MaxOutput))
}
