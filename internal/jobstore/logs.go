package jobstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/batch"
	"longshore/internal/blob"
	"longshore/job"
)

// Logs of runs. A run is named by its delivery, which no other run of its job has. While it lasts the
// newest of its
// lines are in a list, for as long as logLife; at its end all of them that are kept are a blob, and
// field lg of
// x: says so: "<delivery>:<attempt>:<lines>", the newest last.
const (
	logLife = 24 * time.Hour
	maxRuns = 20 // whose logs are known
)

// LogBytes is how much of the log of a run under way is in Redis, at the most.
const LogBytes = 16 << 10

// LogChannel tells that a job has new lines of a log, or one that was stored: its id, raw.
func (s *Store) LogChannel() string { return s.prefix + ":logs" }

// FollowChannel tells workers that somebody follows a job's log: its id.
func (s *Store) FollowChannel() string { return s.prefix + ":follow" }

// Follow tells workers so; it is to be called again each second.
func (s *Store) Follow(ctx context.Context, id job.ID) error {
	return s.rdb.Publish(ctx, s.FollowChannel(), string(id)).Err()
}

// LogBlob is the name of a run's log.
func LogBlob(id job.ID, delivery int64) string {
	return Folder(id) + "/log/" + strconv.FormatInt(delivery, 10)
}

// LogLine is the n-th line of a run's log as clients get it. Its number is the run's delivery, and how many
// lines the run had written by then.
func LogLine(delivery, n int64, attempt int, at time.Time, level slog.Level, msg string) string {
	text, _ := json.Marshal(struct { // texts and numbers: can't fail
		N       int64     `json:"n"`
		Attempt int       `json:"attempt"`
		At      time.Time `json:"at"`
		Level   string    `json:"level"`
		Msg     string    `json:"msg"`
	}{delivery<<32 | n, attempt, at.UTC().Truncate(time.Millisecond), strings.ToLower(level.String()), msg})
	return string(text)
}

// WriteLog stores the log of a run.
func WriteLog(ctx context.Context, blobs blob.Store, id job.ID, delivery int64, lines ...[]string) error {
	out, err := blobs.Create(ctx, LogBlob(id, delivery))
	if err != nil {
		return err
	}
	defer func() { _ = out.Abort() }() // after Commit it does nothing
	for _, some := range lines {
		for _, line := range some {
			if _, err := out.Write([]byte(line + "\n")); err != nil {
				return err
			}
		}
	}
	_, err = out.Commit()
	return err
}

// AppendLog adds lines to the log of the run that holds the fence; keep is how many of the newest stay.
// Errors:
// ErrLost, or Redis's.
func (s *Store) AppendLog(ctx context.Context, id job.ID, fence string, delivery int64, lines []string,
	keep int, followed bool) error {
	args := make([]any, 0, 5+len(lines))
	args = append(args, id.Raw()+readFence(fence), delivery, keep, logLife.Milliseconds(), flagText(followed))
	for _, line := range lines {
		args = append(args, line)
	}
	n, err := s.scripts.log.Run(ctx, s.rdb, []string{s.base(id)}, args...).Int()
	if err == nil && n == 0 {
		return ErrLost
	}
	return err
}

// Logged says that the log of a run is stored: so many lines were written, of which some are kept. Errors:
// job.ErrNotFound, or Redis's.
func (s *Store) Logged(ctx context.Context, id job.ID, delivery int64, attempt int, lines int64) error {
	run := strconv.FormatInt(delivery, 10) + ":" + strconv.Itoa(attempt) + ":" + strconv.FormatInt(lines, 10)
	c := s.call(id, delivery, run, maxRuns)
	if err := batch.RunAll(ctx, s.rdb, s.scripts.logged, 1, []*batch.Call{c}); err != nil {
		return err
	}
	return status(id, c.Reply)
}

// A LogRun is the log of one run of a job.
type LogRun struct {
	Delivery int64
	Lines    []string // of one that is not stored: those that are known
	Stored   bool     // LogBlob has it
	Written  int64    // of a stored one: lines, with those that were not kept
}

// LogRuns are those of a job, oldest first, and whether it has ended. Errors: job.ErrNotFound,
// job.ErrDamaged, or
// Redis's.
func (s *Store) LogRuns(ctx context.Context, id job.ID) (runs []LogRun, state job.State, err error) {
	cores, err := s.cores(ctx, []job.ID{id})
	if err != nil {
		return nil, "", err
	}
	if !cores[0].there {
		return nil, "", s.missing(ctx, id, job.ErrNotFound)
	}
	r, err := parseRecord(cores[0].text)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w: %w", id, job.ErrDamaged, err)
	}
	pipe := s.rdb.Pipeline()
	stored := pipe.HGet(ctx, s.base(id)+"x:"+id.Raw(), "lg")
	var lists []*redis.StringSliceCmd
	first := max(1, r.delivery-maxRuns+1)
	for d := first; d <= r.delivery; d++ {
		lists = append(lists, pipe.LRange(ctx, s.base(id)+"l:"+id.Raw()+":"+strconv.FormatInt(d, 10), 0, -1))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) &&
		!redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil, "", fmt.Errorf("logs of %s: %w", id, err)
	}
	for run := range strings.FieldsSeq(stored.Val()) {
		parts := strings.Split(run, ":")
		if len(parts) != 3 {
			continue
		}
		runs = append(runs, LogRun{Delivery: integer(parts[0]), Stored: true, Written: integer(parts[2])})
	}
	known := map[int64]bool{}
	for _, run := range runs {
		known[run.Delivery] = true
	}
	for i, list := range lists {
		if d := first + int64(i); len(list.Val()) > 0 && !known[d] {
			runs = append(runs, LogRun{Delivery: d, Lines: list.Val()})
		}
	}
	return runs, r.state, nil
}
