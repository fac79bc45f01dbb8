package cli

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"longshore/client"
	"longshore/config"
	"longshore/job"
)

// An Installation is where jobs are: a server, or Redis and the blob store. It is all
// that commands know of the two, so each of them works on both.
type Installation interface {
	submitter
	Get(context.Context, job.ID) (job.Snapshot, error)
	Cancel(context.Context, job.ID) (job.Snapshot, error)
	Retry(context.Context, job.ID) (job.Snapshot, error)
	Release(context.Context, job.ID) (job.Snapshot, error)
	Change(ctx context.Context, id job.ID, change client.Change, rev int64) (job.Snapshot, error)
	Delete(context.Context, job.ID) error
	Follow(context.Context, job.ID) iter.Seq2[job.Snapshot, error]
	Poll(ctx context.Context, revs []job.Rev, wait time.Duration) (moved []job.Snapshot, missing []job.ID,
		err error)
	PollDone(ctx context.Context, ids []job.ID, wait time.Duration) (ended []job.Snapshot, missing []job.ID,
		err error)
	ListPage(ctx context.Context, f client.Filter, limit int, cursor string) (client.Page, error)
	Types(context.Context) ([]client.TypeInfo, error)

	// Clock is the time by which ids are too old or not yet.
	Clock(context.Context) (time.Time, error)

	// Open opens an output, or for "" the result; size -1 = unknown.
	Open(ctx context.Context, id job.ID, name string) (in io.ReadCloser, size int64, err error)
	Close() error
}

// A submitter takes jobs in.
type submitter interface {
	Submit(context.Context, client.Submission) (job.Snapshot, error)
	SubmitFile(ctx context.Context, s client.Submission, in io.Reader, size int64) (job.Snapshot, error)
	SubmitLines(ctx context.Context, lines [][]byte) iter.Seq2[client.BatchAnswer, error]
}

// An uploader takes large files in pieces: an ability that only a server needs.
type uploader interface {
	Upload(ctx context.Context, s client.Submission, in io.ReaderAt, size int64) (job.Snapshot, error)
}

type overHTTP struct{ *client.Client }

var (
	_ Installation = overHTTP{}
	_ uploader     = overHTTP{}
)

func (o overHTTP) Open(ctx context.Context, id job.ID, name string) (io.ReadCloser, int64, error) {
	open := o.Result
	if name != "" {
		open = func(ctx context.Context, id job.ID) (*client.File, error) { return o.Output(ctx, id, name) }
	}
	file, err := open(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	return file, file.Size, nil
}

func (o overHTTP) Close() error {
	o.CloseIdleConnections()
	return nil
}

// with connects as the settings say, and lets go afterwards.
func (p *CLI) with(ctx context.Context, do func(Installation) error) error {
	s, err := p.Settings()
	if err != nil {
		return err
	}
	at, err := p.reach(ctx, s)
	if err != nil {
		return err
	}
	return errors.Join(do(at), at.Close())
}

func (p *CLI) reach(ctx context.Context, s config.Enqueue) (Installation, error) {
	if s.URL != "" {
		c, err := p.connect(s)
		return overHTTP{c}, err
	}
	in, err := p.onRedis()
	if err != nil {
		return nil, err
	}
	return in.Open(ctx, p, s)
}
