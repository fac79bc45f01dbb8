// Package refusal is the one table from what went wrong inside to what a client is
// told: the code, and by it the status. Every way in uses it, HTTP, the command line
// and Go programs; what a request alone can know, such as that its client has left,
// is for the edge of HTTP to say.
package refusal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/redisdb"
	"longshore/job"
)

// Of returns the refusal that an error stands for; err must not be nil. An error that
// holds an *httpapi.Error stands for that one, and one that is not known is internal.
func Of(err error) *httpapi.Error {
	var said *httpapi.Error
	if errors.As(err, &said) {
		return said
	}
	return of(err).Wrap(err)
}

func of(err error) *httpapi.Error {
	var used *job.InUseError
	var retried *jobstore.RetriedError
	var duplicate *jobstore.DuplicateError
	switch {
	case errors.As(err, &duplicate):
		e := httpapi.NewError(httpapi.Duplicate, "job "+string(duplicate.ID)+" has this key")
		e.Job = duplicate.ID
		return e
	case errors.As(err, &retried):
		e := httpapi.NewError(httpapi.AlreadyRetried, "the job was retried before, as job "+
			string(retried.As)+
			"; ?again=true retries it once more")
		e.Job = retried.As
		return e
	case errors.Is(err, job.ErrStoreReset): // before the one that it wraps
		return httpapi.StoreWasReset()
	case errors.Is(err, job.ErrNotFound), errors.Is(err, blob.ErrNotFound):
		return httpapi.NoSuchJob()
	case errors.Is(err, job.ErrNoCallback):
		return httpapi.NewError(httpapi.NotFound, "the job was submitted without a callback_url")
	case errors.Is(err, job.ErrNotEnded):
		return httpapi.NewError(httpapi.Conflict, "the job has not ended")
	case errors.Is(err, job.ErrInputGone):
		return httpapi.NewError(httpapi.InputGone, "the job's input was deleted at its end, as it was asked to be")
	case errors.Is(err, jobstore.ErrNotHeld):
		return httpapi.NewError(httpapi.Conflict, "the job was never held")
	case errors.Is(err, jobstore.ErrNoBatch):
		return httpapi.InvalidAt("/batch", "there is no such batch, or its retention is over")
	case errors.Is(err, jobstore.ErrManyQueues):
		return httpapi.NewError(httpapi.TooManyQueues, jobstore.ErrManyQueues.Error()+
			": use one of them; one that is empty and not used goes after a week")
	case errors.Is(err, jobstore.ErrFixed):
		return httpapi.NewError(httpapi.Conflict, jobstore.ErrFixed.Error())
	case errors.Is(err, jobstore.ErrBatchClosed):
		return httpapi.NewError(httpapi.BatchClosed, "the batch takes no more jobs")
	case errors.Is(err, jobstore.ErrEnded):
		return httpapi.NewError(httpapi.Conflict, "the job has ended")
	case errors.Is(err, jobstore.ErrStarted):
		return httpapi.NewError(httpapi.AlreadyStarted,
			"the job runs, or has begun: that can't be changed any more")
	case errors.Is(err, jobstore.ErrRev):
		return httpapi.NewError(httpapi.PreconditionFailed, "the job has another revision than If-Match names")
	case errors.As(err, &used):
		return httpapi.NewError(httpapi.Conflict,
			fmt.Sprintf("job %s works on this one's files; they go when it has ended", used.By))
	case errors.Is(err, jobstore.ErrMismatch):
		return httpapi.NewError(httpapi.IdempotencyMismatch, "the key was used for another request")
	case errors.Is(err, jobstore.ErrBadCursor):
		return httpapi.InvalidAt("?cursor", "is none of a list with this filter: begin again without one")
	case errors.Is(err, jobstore.ErrManyTenants):
		return httpapi.InvalidAt("?tenant", jobstore.ErrManyTenants.Error())
	case errors.Is(err, jobstore.ErrClaimed):
		return httpapi.NewError(httpapi.Conflict, "the id was used before")
	case errors.Is(err, job.ErrDamaged): // often of a newer version, while a deployment is under way
		return passing("the job's record can't be read", 10*time.Second)
	case errors.Is(err, blob.ErrNoSpace):
		return httpapi.NewError(httpapi.Unavailable, "no space left for inputs").
			WithStatus(http.StatusInsufficientStorage)
	case errors.Is(err, blob.ErrUnavailable):
		return passing("the blob store can't be reached, try again", 5*time.Second)
	case errors.Is(err, context.Canceled): // before redisdb: there it is no trouble of Redis
		return passing("the request was given up, try again", time.Second)
	case redisdb.Reason(err) == redisdb.ReasonOutOfMemory:
		return httpapi.NewError(httpapi.StoreFull, "the job store is full, try again later").
			WithRetryAfter(2 * time.Second)
	case redisdb.Unavailable(err):
		return passing("the job store can't be reached, try again", 2*time.Second)
	default:
		return httpapi.NewError(httpapi.Internal, "")
	}
}

// passing is the refusal for a trouble that ends by itself.
func passing(detail string, after time.Duration) *httpapi.Error {
	return httpapi.NewError(httpapi.Unavailable, detail).WithRetryAfter(after)
}
