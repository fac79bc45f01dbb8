package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"longshore/client"
	"longshore/config"
	installed "longshore/installation"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/redisdb"
	"longshore/job"
)

// An installation is where jobs are: a server, or Redis and the blob store. It is all
// that commands know of the two, so each of them works on both.
type installation interface {
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

	// clock is the time by which ids are too old or not yet.
	clock(context.Context) (time.Time, error)

	// open opens an output, or for "" the result; size -1 = unknown.
	open(ctx context.Context, id job.ID, name string) (in io.ReadCloser, size int64, err error)
	close() error
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
	_ installation = overHTTP{}
	_ uploader     = overHTTP{}
)

func (o overHTTP) open(ctx context.Context, id job.ID, name string) (io.ReadCloser, int64, error) {
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

func (o overHTTP) clock(ctx context.Context) (time.Time, error) { return o.Clock(ctx) }

func (o overHTTP) close() error {
	o.CloseIdleConnections()
	return nil
}

// with connects as the settings say, and lets go afterwards.
func (p *cli) with(ctx context.Context, do func(installation) error) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	at, err := p.reach(ctx, s)
	if err != nil {
		return err
	}
	return errors.Join(do(at), at.close())
}

func (p *cli) reach(ctx context.Context, s config.Enqueue) (installation, error) {
	if s.URL != "" {
		c, err := p.connect(s)
		return overHTTP{c}, err
	}
	return p.within(ctx, s)
}

// unconnected gives an error of connecting its exit code.
func unconnected(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, installed.ErrSettings):
		return misconfigured(err)
	case redisdb.Unavailable(err), errors.Is(err, blob.ErrUnavailable):
		return fmt.Errorf("%w: %w", httpapi.NewError(httpapi.Unavailable, ""), err)
	default:
		return err
	}
}
