package jobstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/batch"
	"longshore/job"
)

// A batch is a job that waits for others, of which more may come until it is closed. Its jobs lie in any
// partition; what each partition knows of a batch is its share (lua/batches.lua). All that is counted is
// counted by the scripts that make and end jobs, so it is as true as the records. A look at a batch adds its
// shares up. Where there is one partition the scripts look themselves, at once.

// Why a batch takes no job, or isn't one.
var (
	ErrNoBatch     = errors.New("no such batch")
	ErrBatchClosed = errors.New("batch takes no more jobs")
	// ErrFixed says that what was to be changed of a batch can't be.
	ErrFixed = errors.New("of a batch only labels can be changed")
)

// How a batch stands, as x: has it.
const (
	batchOpen     = "open"
	batchClosed   = "closed"
	batchCanceled = "canceled"
	batchExpired  = "expired"
)

// shareHold is how long shares in other partitions stay beyond the time that a batch can take: until then
// those have heard that it is gone.
const shareHold = 7 * 24 * time.Hour

// maxBad is how much is kept of the ids of jobs that didn't succeed: 100.
const maxBad = 100 * 16

// batchPage is how many jobs of a batch are looked at in one call.
const batchPage = 500

// OpenBatch makes a batch: a NewJob of type job.BatchType. It may be repeated as Create may.
func (s *Store) OpenBatch(ctx context.Context, n NewJob) (Created, error) {
	if n.Type != job.BatchType || n.ExpiresIn <= 0 {
		return Created{}, errors.New("not a batch, or one that never ends")
	}
	c, err := s.Create(ctx, n)
	if err != nil || len(s.bases) == 1 {
		return c, err
	}
	// After the record, which is refused where another has the id. Who is killed between the two has no
	// answer, so nobody has the batch's id.
	whose := n.Owner.Of()
	if code := n.Owner.Code(); code != "" {
		whose += "\x00" + code
	}
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for k, base := range s.bases {
			if k == s.part(c.ID) { // has come with the record
				continue
			}
			key := base + "b:" + c.ID.Raw()
			p.HSetNX(ctx, key, "o", whose)
			p.PExpire(ctx, key, n.ExpiresIn+n.Retention+shareHold)
		}
		return nil
	})
	if err != nil {
		return Created{}, fmt.Errorf("shares of batch %s: %w", c.ID, err)
	}
	return c, nil
}

// CloseBatch lets no more jobs into a batch, which ends when those that are there have. Errors:
// job.ErrNotFound, ErrNoBatch of another job.
func (v Views) CloseBatch(ctx context.Context, by access.View, id job.ID, who string) (job.Snapshot, error) {
	c := v.s.callFor(by, id, who)
	if err := batch.RunAll(ctx, v.s.rdb, v.s.scripts.close, 1, []*batch.Call{c}); err != nil {
		return job.Snapshot{}, err
	}
	if text(c.Reply[0]) == "other" {
		return job.Snapshot{}, ErrNoBatch
	}
	if err := v.s.answered(ctx, id, c.Reply); err != nil {
		return job.Snapshot{}, err
	}
	if len(v.s.bases) > 1 {
		_ = v.s.addUp(ctx, id, true) // where that fails a sweep does it
	}
	return v.Get(ctx, by, id)
}

// A share is what a partition knows of a batch.
type share struct {
	total, succeeded, failed, canceled, expired int64
	sealed                                      bool
	bad                                         string
}

// shares asks all partitions, which seal theirs if how is "1", or drop it if how is "over".
func (s *Store) shares(ctx context.Context, id job.ID, how string) (sum share, err error) {
	calls := make([]*batch.Call, len(s.bases))
	for k, base := range s.bases {
		calls[k] = &batch.Call{Key: base, Args: []any{id.Raw(), how}}
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.shares, 1, calls); err != nil {
		return share{}, fmt.Errorf("shares of batch %s: %w", id, err)
	}
	sum.sealed = true
	for _, c := range calls {
		if len(c.Reply) != 7 {
			return share{}, fmt.Errorf("shares of batch %s: %w", id, status(id, c.Reply))
		}
		sum.total += integer(c.Reply[0])
		sum.succeeded += integer(c.Reply[1])
		sum.failed += integer(c.Reply[2])
		sum.canceled += integer(c.Reply[3])
		sum.expired += integer(c.Reply[4])
		sum.sealed = sum.sealed && integer(c.Reply[5]) == 1
		sum.bad += text(c.Reply[6])
	}
	return sum, nil
}

// addUp tells a batch what its shares say. Where it is closed they are sealed first.
func (s *Store) addUp(ctx context.Context, id job.ID, closed bool) error {
	how := ""
	if closed {
		how = "1"
	}
	sum, err := s.shares(ctx, id, how)
	if err != nil {
		return err
	}
	return s.counted(ctx, id, sum)
}

func (s *Store) counted(ctx context.Context, id job.ID, sum share) error {
	bad := sum.bad[:min(len(sum.bad), maxBad)]
	c := s.call(id, sum.total, sum.succeeded, sum.failed, sum.canceled, sum.expired,
		flagText(sum.sealed), bad)
	if err := batch.RunAll(ctx, s.rdb, s.scripts.counted, 1, []*batch.Call{c}); err != nil {
		return fmt.Errorf("count batch %s: %w", id, err)
	}
	return nil
}

// lookAtBatch goes on with a batch that a sweep has found.
func (s *Store) lookAtBatch(ctx context.Context, f finding) error {
	id := f.ticket.ID
	if f.kind == "shares" {
		return s.payShares(ctx, id, f.state)
	}
	if len(s.bases) > 1 {
		if err := s.addUp(ctx, id, true); err != nil {
			return err
		}
	}
	switch f.state {
	case batchCanceled:
		return s.recount(ctx, id, 0, s.stopJobs(ctx, id, ""))
	case batchExpired: // those that run may end
		which := ""
		for _, s := range []job.State{job.Uploading, job.Awaiting, job.Scheduled, job.Queued, job.Retrying} {
			which += stateLetters[s]
		}
		return s.recount(ctx, id, 0, s.stopJobs(ctx, id, which))
	case batchClosed:
		// Damage, an older process that knows no batches: the counts may never come to their end.
		if len(f.after) > 0 && integer(f.after[0]) >= lookMaxMS {
			snap, err := s.Get(ctx, id)
			if err != nil || snap.Jobs == nil {
				return err
			}
			return s.recount(ctx, id, snap.Jobs.Total, nil)
		}
	}
	return nil
}

// payShares adds the shares of a batch up after something has changed in one partition; due is when that was
// to be looked at.
func (s *Store) payShares(ctx context.Context, id job.ID, due string) error {
	snap, err := s.Get(ctx, id)
	switch {
	case errors.Is(err, job.ErrNotFound), errors.Is(err, job.ErrDamaged):
	case err != nil:
		return err
	case !snap.Done:
		if err := s.addUp(ctx, id, snap.Jobs != nil && !snap.Jobs.Open); err != nil {
			return err
		}
	}
	for _, base := range s.bases {
		if err := s.scripts.paid.Run(ctx, s.rdb, []string{base}, id.Raw(), due).Err(); err != nil {
			return err
		}
	}
	return nil
}

// stopJobs cancels jobs of a batch that are in one of the states which has the letters of, "" = any.
func (s *Store) stopJobs(ctx context.Context, id job.ID, which string) func(open []job.ID) error {
	return func(open []job.ID) error {
		_, err := s.cancelMany(ctx, access.Everything, open, "batch "+string(id), which)
		return err
	}
}

// recount ends a batch none of whose jobs is open, as their records say, whatever it has counted. stop,
// unless it is nil, is called for those that are open, and may end them. A batch that is to end by itself
// must find as many jobs as it has told of, least: else their list is lost.
func (s *Store) recount(ctx context.Context, id job.ID, least int64, stop func(open []job.ID) error) error {
	sum, left := share{sealed: true}, false
	err := s.eachOf(ctx, id, func(page []job.ID) error {
		cores, err := s.cores(ctx, page)
		if err != nil {
			return err
		}
		if open := openOf(page, cores); len(open) > 0 && stop != nil {
			if err := stop(open); err != nil {
				return err
			}
			if cores, err = s.cores(ctx, page); err != nil {
				return err
			}
		}
		left = left || len(openOf(page, cores)) > 0
		for i, c := range cores {
			sum.add(page[i], c)
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("jobs of batch %s: %w", id, err)
	case left || sum.total < least:
		return nil
	}
	return s.counted(ctx, id, sum)
}

// openOf are the jobs that haven't ended. One that is gone or damaged has.
func openOf(ids []job.ID, cores []core) (open []job.ID) {
	for i, c := range cores {
		if r, err := parseFixed(c.text); err == nil && !r.state.Terminal() {
			open = append(open, ids[i])
		}
	}
	return open
}

// add counts a job. One that is gone or damaged did not succeed for sure.
func (s *share) add(id job.ID, c core) {
	s.total++
	switch r, err := parseFixed(c.text); {
	case err != nil || r.state == job.Failed:
		s.failed++
		if len(s.bad) < maxBad {
			s.bad += id.Raw()
		}
	case r.state == job.Succeeded:
		s.succeeded++
	case r.state == job.Canceled:
		s.canceled++
	case r.state == job.Expired:
		s.expired++
	}
}

// eachOf calls f for the jobs of a batch, page by page.
func (s *Store) eachOf(ctx context.Context, id job.ID, f func([]job.ID) error) error {
	for cursor := (batchCursor{}); ; {
		page, next, err := s.batchIDs(ctx, id, cursor, batchPage)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := f(page); err != nil {
			return err
		}
		cursor = next
	}
}

// A batchCursor is where in the jobs of a batch somebody is who looks through them.
type batchCursor struct{ part, at int }

// batchIDs are some of a batch's jobs, partition by partition in the order in which they were made, and
// where to go on: behind the last partition there is none.
func (s *Store) batchIDs(ctx context.Context, id job.ID, from batchCursor, most int) ([]job.ID,
	batchCursor, error) {
	for from.part < len(s.bases) {
		raws, err := s.rdb.LRange(ctx, s.bases[from.part]+"m:"+id.Raw(), int64(from.at),
			int64(from.at+most-1)).Result()
		if err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			return nil, from, fmt.Errorf("jobs of batch %s: %w", id, err)
		}
		if len(raws) == 0 {
			from = batchCursor{part: from.part + 1}
			continue
		}
		ids := make([]job.ID, len(raws))
		for i, raw := range raws {
			ids[i] = job.FromRaw(raw)
		}
		return ids, batchCursor{from.part, from.at + len(raws)}, nil
	}
	return nil, from, nil
}

// BatchJobs reads some of the jobs of a batch, 1 to 500, each with an error of its own, and says where to
// go on, "" = that was all. A job whose record is gone is job.ErrNotFound. Errors: job.ErrNotFound,
// ErrNoBatch, ErrBadCursor.
func (v Views) BatchJobs(ctx context.Context, by access.View, id job.ID, cursor string, most int) (
	jobs []job.Reading, next string, err error) {
	from := batchCursor{}
	if cursor != "" {
		if from, err = parseBatchCursor(cursor); err != nil {
			return nil, "", err
		}
	}
	r, err := v.read(ctx, by, id, false)
	switch {
	case err != nil:
		return nil, "", err
	case r.Snapshot.Type != job.BatchType:
		return nil, "", ErrNoBatch
	}
	ids, behind, err := v.s.batchIDs(ctx, id, from, min(max(most, 1), batchPage))
	if err != nil || len(ids) == 0 {
		return nil, "", err
	}
	jobs, err = v.GetMany(ctx, by, ids)
	return jobs, fmt.Sprintf("%d.%d", behind.part, behind.at), err
}

func parseBatchCursor(text string) (c batchCursor, err error) {
	part, at, ok := strings.Cut(text, ".")
	c.part, err = strconv.Atoi(part)
	if ok && err == nil {
		c.at, err = strconv.Atoi(at)
	}
	if !ok || err != nil || c.part < 0 || c.at < 0 {
		return c, ErrBadCursor
	}
	return c, nil
}

// dropShares forgets what other partitions know of a batch whose record has gone.
func (s *Store) dropShares(ctx context.Context, id job.ID) error {
	if len(s.bases) == 1 {
		return nil
	}
	_, err := s.shares(ctx, id, "over")
	return err
}

// removed drops the shares of a job that was removed by hand, if it was a batch.
func (s *Store) removed(ctx context.Context, id job.ID, reply []any) error {
	if len(reply) < 2 || integer(reply[1]) != 1 {
		return nil
	}
	return s.dropShares(ctx, id)
}

// Named finds the jobs that names in a batch stand for, "" of one that isn't there.
func (s *Store) Named(ctx context.Context, owner access.Owner, in job.ID, names []string) ([]job.ID, error) {
	ids, cmds := make([]job.ID, len(names)), make([]*redis.StringCmd, len(names))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			hash := claimHash(owner, NameKey(in, name))
			cmds[i] = p.Get(ctx, s.bases[int(hash[15]&(job.Shards-1))%len(s.bases)]+"i:"+hash)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("names in batch %s: %w", in, err)
	}
	for i, cmd := range cmds {
		if prior := cmd.Val(); len(prior) >= 16 {
			ids[i] = job.FromRaw(prior[:16])
		}
	}
	return ids, nil
}

// NameKey is the idempotency key of a job with a name in a batch: it is claimed as any other.
func NameKey(in job.ID, name string) string { return "batch " + string(in) + " " + name }

// tellBatch puts into a snapshot how far a batch is.
func tellBatch(snap *job.Snapshot, rare map[string]string) {
	t := &job.Tally{Open: rare["ba"] == batchOpen && !snap.Done}
	if raw := rare["th"]; raw != "" {
		t.Then = job.FromRaw(raw)
	}
	if counts := strings.Fields(rare["bc"]); len(counts) == 6 {
		for i, into := range []*int64{&t.Total, &t.Succeeded, &t.Failed, &t.Canceled, &t.Expired} {
			*into = integer(counts[i+1])
		}
	}
	for bad := rare["bi"]; len(bad) >= 16; bad = bad[16:] {
		t.Unsuccessful = append(t.Unsuccessful, job.FromRaw(bad[:16]))
	}
	snap.Jobs = t
	if !snap.Done && !t.Open && t.Total > 0 {
		part := float64(t.Ended()) / float64(t.Total)
		snap.Overall = &part
	}
}
