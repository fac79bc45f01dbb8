package asynqmove

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/asynqtask"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/job"
)

// adopt goes over the tasks that were taken before, age ago at least, and makes their jobs.
func (m *Mover) adopt(ctx context.Context, l *line, age time.Duration) (moved int, err error) {
	for behind := 0; ctx.Err() == nil; {
		reply, err := adoptScript.Run(ctx, l.rdb, []string{listKey(l.keys)}, m.by, behind, pageSize,
			age.Milliseconds()).Slice()
		if err != nil || len(reply) != 3 {
			return moved, err
		}
		now, size, page := millis(reply[0]), integer(reply[1]), list(reply[2])
		var some []*candidate
		for _, one := range page {
			if c := m.left(l, list(one), now); c != nil {
				some = append(some, c)
			}
		}
		gone, err := m.create(ctx, l, some)
		moved += gone
		if err != nil || size < pageSize {
			return moved, err
		}
		behind += size - gone
	}
	return moved, nil
}

// left is an entry of the list as a candidate; nil: it stays.
func (m *Mover) left(l *line, said []any, now time.Time) *candidate {
	if len(said) != 5 {
		return nil
	}
	c := &candidate{id: text(said[0]), message: []byte(text(said[1])), at: millis(said[3]), again: true}
	var err error
	switch c.job, err = job.ParseID(text(said[2])); {
	case len(c.message) == 0 || err != nil:
		m.stays(l, c.id, "its task is gone from asynq's Redis; what is left of it: LREM "+listKey(l.keys))
		return nil
	case now.Sub(c.at) > tooOld:
		m.stays(l, c.id, fmt.Sprintf("it was taken at %s, over an hour ago, and may have run as job %s: look for that, "+
			"and if nobody knows of it enqueue the task again", c.at.UTC().Format(time.RFC3339), c.job))
		return nil
	}
	if _, score, ok := strings.Cut(text(said[4]), " "); ok {
		c.runAt = seconds(score)
	}
	return c
}

// take takes what is there of one source.
func (m *Mover) take(ctx context.Context, l *line, source string) (moved int, err error) {
	at, behind := l.name+"\x00"+source, 0
	if p := m.past[at]; time.Now().Before(p.until) {
		behind = p.n
		m.Stuck += p.n
	}
	for ctx.Err() == nil {
		page, err := l.page(ctx, source, behind)
		if err != nil {
			return moved, err
		}
		if len(page) == 0 {
			if behind > pageSize && !time.Now().Before(m.past[at].until) { // few are looked at each time
				m.past[at] = past{behind, time.Now().Add(againAfter)}
			}
			return moved, nil
		}
		fit, err := m.fit(ctx, l, page)
		if err != nil {
			return moved, err
		}
		behind += len(page) - len(fit)
		taken, err := m.takeThese(ctx, l, source, fit)
		if err != nil {
			return moved, err
		}
		n, err := m.create(ctx, l, taken)
		moved += n
		if err != nil {
			return moved, err
		}
		behind += len(taken) - n // those that were given back
	}
	return moved, nil
}

// page reads the oldest of a source.
func (l *line) page(ctx context.Context, source string, behind int) (page []*candidate, err error) {
	if source == "pending" || source == "foreign" {
		ids, err := l.rdb.LRange(ctx, l.keys+source, int64(-behind-pageSize), int64(-behind-1)).Result()
		for i := len(ids) - 1; i >= 0; i-- {
			page = append(page, &candidate{id: ids[i]})
		}
		return page, err
	}
	all, err := l.rdb.ZRangeWithScores(ctx, l.keys+source, int64(behind), int64(behind+pageSize-1)).Result()
	for _, z := range all {
		id, _ := z.Member.(string)
		page = append(page, &candidate{id: id, runAt: time.UnixMilli(int64(z.Score * 1000))})
	}
	return page, err
}

// fit are those that can be jobs here; of the others is told.
func (m *Mover) fit(ctx context.Context, l *line, page []*candidate) (fit []*candidate, err error) {
	now, pipe := time.Now(), l.rdb.Pipeline()
	var asked []*candidate
	var said []*redis.StringCmd
	for _, c := range page {
		if before, ok := m.stuck[l.name+"\x00"+c.id]; ok && now.Before(before.next) {
			m.Stuck++
			continue
		}
		asked, said = append(asked, c), append(said, pipe.HGet(ctx, l.keys+"t:"+c.id, "msg"))
	}
	if len(asked) == 0 {
		return nil, nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	for i, c := range asked {
		message, err := said[i].Bytes()
		if errors.Is(err, redis.Nil) {
			continue // a server has it, or nothing is left of it
		} else if err != nil {
			return nil, err
		}
		c.message, c.at = message, now
		if err := m.judge(l, c); err != nil {
			m.stays(l, c.id, reason(err))
			continue
		}
		fit = append(fit, c)
	}
	return fit, nil
}

// takeThese is the first step. What comes of it is of the tasks that were there.
func (m *Mover) takeThese(ctx context.Context, l *line, source string, fit []*candidate) (
	taken []*candidate, err error) {
	if len(fit) == 0 {
		return nil, nil
	}
	args := []any{m.by, source}
	for _, c := range fit {
		args = append(args, c.id, string(c.job))
	}
	whole := context.WithoutCancel(ctx)
	reply, err := takeScript.Run(whole, l.rdb, []string{listKey(l.keys)}, args...).Slice()
	if err != nil {
		return nil, err
	}
	for i, one := range reply {
		said := list(one)
		if len(said) != 3 || i >= len(fit) {
			continue
		}
		c := fit[i]
		c.message, c.at = []byte(text(said[0])), millis(said[2])
		if id := job.ID(text(said[1])); id != c.job {
			c.job, c.again = id, true // it was taken before, and put back by hand
		}
		taken = append(taken, c)
	}
	return taken, nil
}

// create is the second and the third step; moved says of how many tasks jobs were made, or had been.
func (m *Mover) create(ctx context.Context, l *line, some []*candidate) (moved int, err error) {
	ctx = context.WithoutCancel(ctx)
	var drafts []submit.Draft
	var asked []*candidate
	back := []any{m.by}
	for _, c := range some {
		r, err := l.request(c)
		if err != nil { // its message has changed since it was judged
			m.stays(l, c.id, reason(err))
			back = appendUnless(back, c)
			continue
		}
		r.ID, r.IDOfKey = c.job, true
		r.IDUntil = time.Now().Add(time.Hour - 2*time.Minute) // the store knows it for an hour at least
		drafts = append(drafts, submit.Draft{Line: int64(len(drafts) + 1), Request: r})
		asked = append(asked, c)
	}
	var drop []any
	for i, a := range m.submit(ctx, drafts) {
		c := asked[i]
		switch refused := a.Refused(); {
		case refused == nil, made(refused):
			drop = append(drop, c.id, string(c.job))
		case unknown(refused):
			err = refused // it stays in the list, for the next pass
		default:
			m.stays(l, c.id, reason(refused))
			back = appendUnless(back, c)
		}
	}
	if len(drop) > 0 {
		if err := m.drop(ctx, l, drop); err != nil {
			return 0, err // they stay in the list: the next pass drops them
		}
	}
	if len(back) > 1 {
		if err := backScript.Run(ctx, l.rdb, []string{listKey(l.keys)}, back...).Err(); err != nil {
			return len(drop) / 2, err
		}
	}
	return len(drop) / 2, err
}

func (m *Mover) drop(ctx context.Context, l *line, drop []any) error {
	n, err := dropScript.Run(ctx, l.rdb, []string{listKey(l.keys)}, drop...).Int()
	m.Moved[l.name] += int64(n) // another mover may have been faster
	return err
}

func (m *Mover) submit(ctx context.Context, drafts []submit.Draft) []httpapi.BatchAnswer {
	if len(drafts) == 0 {
		return nil
	}
	return m.c.Submitter.SubmitMany(ctx, drafts)
}

// appendUnless adds a task that is to be given back, unless its job may have been made.
func appendUnless(back []any, c *candidate) []any {
	if c.again {
		return back
	}
	return append(back, c.id)
}

// made says that a refusal is for a job of this very id, which nobody but a mover has drawn: it is there, or
// was and is gone.
func made(e *httpapi.Error) bool {
	return e.Code == httpapi.IdempotencyMismatch || e.Code == httpapi.Conflict
}

// unknown says that a refusal leaves open whether the job was made.
func unknown(e *httpapi.Error) bool {
	return e.Code == httpapi.Unavailable || e.Code == httpapi.Internal || e.Code == httpapi.StoreReset
}

// reason is why a task can't be a job, for people.
func reason(err error) string {
	var e *httpapi.Error
	if errors.As(err, &e) {
		said := make([]string, len(e.Errors))
		for i, p := range e.Errors {
			said[i] = strings.TrimPrefix(p.Pointer, "/") + ": " + p.Detail
		}
		if len(said) > 0 {
			return strings.Join(said, "; ")
		}
		return e.Error()
	}
	return strings.TrimPrefix(err.Error(), asynqtask.ErrUnfit.Error()+": ")
}

func text(v any) string { s, _ := v.(string); return s }

func list(v any) []any { l, _ := v.([]any); return l }

func integer(v any) int { n, _ := v.(int64); return int(n) }

func millis(v any) time.Time {
	n, _ := strconv.ParseInt(text(v), 10, 64)
	return time.UnixMilli(n)
}

func seconds(score string) time.Time {
	f, _ := strconv.ParseFloat(score, 64)
	return time.UnixMilli(int64(f * 1000))
}
