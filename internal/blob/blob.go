// Package blob is the seam to the files of jobs: inputs and outputs. A store
// makes a blob visible whole or not at all, and never changes it afterwards; one that is
// written again is replaced in one step.
//
// Names are slash-separated: "<job>/<fence>/in" is a job's input that came in one
// request, which held the fence, "<job>/in" one that came in pieces, and
// "<job>/<fence>/<name>" an output of the attempt that held the fence. Two attempts therefore never
// write the same blob, and the job's record says whose counts.
package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// Errors that a Store wraps.
var (
	ErrNotFound = errors.New("blob not found")
	ErrNoSpace  = errors.New("no space left in the blob store")
	ErrBadName  = errors.New("bad blob name")
	// ErrUnavailable is trouble that may pass: a server that can't be reached, or
	// refuses for now.
	ErrUnavailable = errors.New("the blob store can't be reached")
)

// Info describes a committed blob.
type Info struct {
	Size        int64  // bytes
	SHA256      string // hex
	ContentType string // sniffed from the first bytes
}

// A Store keeps blobs. Its methods are safe for concurrent use.
type Store interface {
	// Create starts a blob. Nothing is visible before Commit; a blob of the
	// same name is replaced by it. The context is for all of the writing: once
	// it is done, Write and Commit fail. A name that CheckName refuses is
	// ErrBadName.
	Create(ctx context.Context, name string) (Writer, error)
	// Open opens a committed blob, or returns ErrNotFound. The context is for
	// all of the reading.
	Open(ctx context.Context, name string) (Reader, error)
	// Delete removes every blob below "prefix/"; none there is no error.
	Delete(ctx context.Context, prefix string) error
	// Remove removes one committed blob; that it isn't there is no error.
	Remove(ctx context.Context, name string) error
	// Jobs yields the first element of the names of blobs (a job's id) that
	// were all written before the given time, in no order, for the search for
	// orphans. Deleting what it yields, meanwhile, is fine.
	Jobs(ctx context.Context, before time.Time) iter.Seq2[string, error]
}

// A Spacer is a Store that knows how much space it has.
type Spacer interface {
	// Space returns the bytes that are free and those that there are in all.
	// Where that can't be found out the error wraps errors.ErrUnsupported.
	Space(ctx context.Context) (free, total int64, err error)
}

// A Writer receives one blob, from one goroutine. Commit or Abort ends it, and
// one of them must: a Commit that fails leaves nothing behind, and Abort after
// Commit does nothing, so it may be deferred. ErrNoSpace can come from Write and
// from Commit.
type Writer interface {
	io.Writer
	// Commit makes the blob durable and visible.
	Commit() (Info, error)
	// Abort throws away what was written.
	Abort() error
}

// A Reader reads one blob.
type Reader interface {
	io.ReadSeekCloser
	Size() int64
}

// A Ruled is a Store whose owner makes rules that matter to who sends files straight there.
type Ruled interface {
	// Rules says what they are.
	Rules(ctx context.Context) []Rule
}

// A Rule is what is said of one of them.
type Rule struct {
	Name   string
	Detail string
	Bad    bool
	Fix    string // where it is bad
}
