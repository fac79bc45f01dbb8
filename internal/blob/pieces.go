package blob

import (
	"context"
	"io"
	"iter"
	"strings"
	"time"
)

// A Pieces is a Store that also takes a blob in pieces: over hours, through
// several processes, of which one at a time appends. It is an ability that a
// Store may have beside its own methods.
//
// What is there so far is a partial blob, named by the token that Begin drew
// and by the name that the blob is to have. It is not visible to Open.
type Pieces interface {
	// Begin starts an empty partial blob of a size in bytes.
	Begin(ctx context.Context, name string, size int64) (token string, err error)
	// Offset returns how many bytes are there, durably. It is the whole size
	// once FinishPieces has made the blob. ErrNotFound: there is neither.
	Offset(ctx context.Context, name, token string) (int64, error)
	// Append reads r to its end, or to its error, and returns how many bytes of
	// it are durable, also beside an error. offset must be one that Offset could
	// have returned; bytes that were written there before may be written again.
	Append(ctx context.Context, name, token string, offset int64, r io.Reader) (int64, error)
	// FinishPieces makes the blob visible, without copying it: whole, or not at
	// all. It may be repeated, by several processes at once. SHA256 is not known.
	FinishPieces(ctx context.Context, name, token string) (Info, error)
	// Drop deletes a partial blob; none there is no error. The blob, once it
	// has been made, stays.
	Drop(ctx context.Context, name, token string) error
	// Partials yields the partial blobs that were begun before a time, in no
	// order; one to which something was appended since may be left out. Dropping
	// what it yields, meanwhile, is fine.
	Partials(ctx context.Context, before time.Time) iter.Seq2[Partial, error]
}

// A Partial names a partial blob.
type Partial struct{ Name, Token string }

// Job returns the first element of the name.
func (p Partial) Job() string {
	job, _, _ := strings.Cut(p.Name, "/")
	return job
}
