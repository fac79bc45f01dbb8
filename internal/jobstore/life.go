package jobstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A Redis that comes back empty, or with the data of an older day, answers as if nothing had happened. So
// P:meta has an epoch, drawn when an installation begins, and a mark that rises while it lives, and both
// are also kept where Redis can't lose them, among the blobs. Where they differ, jobs were lost.

// A Life is what is kept of an installation beside its Redis.
type Life struct {
	Epoch string `json:"epoch"` // "" = nothing is kept
	// Mark is the one before Redis's last: "appendfsync everysec" may lose a second, and that is no alarm.
	Mark int64 `json:"mark"`
}

// A Loss says which jobs Redis may have lost: those whose id was drawn within, and that aren't there.
// Its zero value is none.
type Loss struct {
	From time.Time // zero: from the beginning
	To   time.Time // when it was noticed
}

// Is reports whether there is a loss.
func (l Loss) Is() bool { return !l.To.IsZero() }

// How often the mark rises, and how often it is kept. An older Redis is noticed if it is older than both;
// by a process that was there before, if it is older than two marks.
const (
	markEvery = 10 * time.Second
	keepEvery = time.Minute
)

const (
	// A chosen id may be this much older than its job.
	idAge = claimMS * time.Millisecond
	// A process that draws ids may be ahead of Redis by this much, unwarned.
	clockAhead = time.Second
)

// A Vouched is what a comparison has found.
type Vouched struct {
	Loss Loss
	Life Life // that may be kept, unless there is a loss
	Keep bool // this caller is to keep it
}

// ErrEmpty says that Redis has lost even what says that the installation is open: Open does so anew.
var ErrEmpty = errors.New("redis has no installation")

// Vouch compares what is kept with what Redis has, and notes a loss. What a call has found the next one
// compares with, and missing jobs are judged by it: it is for one caller at a time. Errors: ErrEmpty, or
// Redis's.
func (s *Store) Vouch(ctx context.Context, kept Life) (v Vouched, err error) {
	said, err := s.scripts.vouch.Run(ctx, s.rdb, []string{s.metaKey()}, kept.Epoch, kept.Mark,
		ms(markEvery), ms(keepEvery)).Slice()
	if err != nil {
		return v, fmt.Errorf("compare with what is kept: %w", err)
	}
	switch text(said[0]) {
	case "empty":
		return v, ErrEmpty
	case "lost":
		v.Loss = parseLoss(text(said[3]))
		s.known.CompareAndSwap(nil, &kept)
		return v, nil
	}
	v.Life, v.Keep = Life{Epoch: text(said[1]), Mark: integer(said[2])}, integer(said[4]) == 1
	s.known.Store(&v.Life)
	if len(s.bases) > 1 {
		v.Loss, err = s.vouchParts(ctx, v.Life.Epoch, v.Life.Mark+1)
	}
	return v, err
}

// Kept has missing jobs judged by what is kept, in a process that never vouches; read is asked once a job
// isn't there, until it has said something.
func (s *Store) Kept(read func(context.Context) (Life, error)) { s.kept = read }

// Known is what the last comparison without a loss has found; nil = there was none.
func (s *Store) Known() *Life { return s.known.Load() }

// AcceptLoss ends the loss that was noted, if there is one: its jobs are simply not there from now on.
func (s *Store) AcceptLoss(ctx context.Context) (Loss, error) {
	loss, err := s.scripts.accept.Run(ctx, s.rdb, []string{s.metaKey()}, rand.Text()).Text()
	if err != nil {
		return Loss{}, fmt.Errorf("accept the loss: %w", err)
	}
	return parseLoss(loss), nil
}

// Loss is what Redis may have lost and nobody has accepted: what was noted, or what this process notices.
func (s *Store) Loss(ctx context.Context) (Loss, error) {
	f, err := s.rdb.HMGet(ctx, s.metaKey(), "epoch", "mark", "reset", "accepted", "parted").Result()
	if err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
		return Loss{}, err
	}
	for len(f) < 5 {
		f = append(f, nil)
	}
	if loss := parseLoss(text(f[2])); loss.Is() {
		return loss, nil
	}
	known := s.known.Load()
	if known == nil && s.kept != nil {
		if kept, err := s.kept(ctx); err == nil {
			s.known.CompareAndSwap(nil, &kept)
			known = &kept
		}
	}
	if known == nil || known.fits(text(f[0]), integer(f[1]), text(f[3])) {
		if len(s.bases) == 1 {
			return Loss{}, nil
		}
		return s.lossOfParts(ctx, text(f[0]), text(f[4]), text(f[3]))
	}
	// Noted at once: another process, that knows less, must not say otherwise a moment later.
	v, err := s.Vouch(ctx, *known)
	if errors.Is(err, ErrEmpty) {
		return Loss{To: time.Now()}, nil
	}
	return v.Loss, err
}

// fits reports whether Redis has what is kept, or that was accepted as lost; lua/vouch.lua is the judge.
func (l Life) fits(epoch string, mark int64, accepted string) bool {
	if l.Epoch == epoch {
		return mark >= l.Mark
	}
	return l.Epoch == "" || slices.Contains(strings.Fields(accepted), l.Epoch)
}

// Whole is job.ErrStoreReset while there is a loss: what isn't in Redis may have been there.
func (s *Store) Whole(ctx context.Context) error {
	loss, err := s.Loss(ctx)
	if err == nil && loss.Is() {
		err = job.ErrStoreReset
	}
	return err
}

// parseLoss reads "<ms>-<ms>"; what is none is no loss.
func parseLoss(note string) Loss {
	from, to, found := strings.Cut(note, "-")
	if !found {
		return Loss{}
	}
	l := Loss{To: time.UnixMilli(integer(to)).UTC()}
	if n, _ := strconv.ParseInt(from, 10, 64); n > 0 {
		l.From = time.UnixMilli(n).UTC()
	}
	return l
}

// Has reports whether the loss may be why a job isn't there.
func (l Loss) Has(id job.ID) bool {
	drawn := id.Time()
	return l.Is() && !drawn.After(l.To.Add(clockAhead)) &&
		(l.From.IsZero() || !drawn.Before(l.From.Add(-idAge)))
}

// missing turns job.ErrNotFound into job.ErrStoreReset where Redis may have lost the job; any other error
// stays. Only what is not there costs this look.
func (s *Store) missing(ctx context.Context, id job.ID, err error) error {
	if !errors.Is(err, job.ErrNotFound) || errors.Is(err, job.ErrStoreReset) {
		return err
	}
	loss, failed := s.Loss(ctx)
	if failed != nil {
		return failed
	}
	if loss.Has(id) {
		return job.ErrStoreReset
	}
	return err
}

// Missing is what to say of a job that is as good as not there for who asks: job.ErrNotFound or
// job.ErrStoreReset, as of one that isn't.
func (s *Store) Missing(ctx context.Context, id job.ID) error {
	return s.missing(ctx, id, job.ErrNotFound)
}

// missingOf is missing for many, by one look.
func (s *Store) missingOf(ctx context.Context, readings []job.Reading) error {
	var loss *Loss
	for i, r := range readings {
		if !errors.Is(r.Err, job.ErrNotFound) {
			continue
		}
		if loss == nil {
			l, err := s.Loss(ctx)
			if err != nil {
				return err
			}
			loss = &l
		}
		if loss.Has(r.ID) {
			readings[i].Err = job.ErrStoreReset
		}
	}
	return nil
}

// answered is status for callers who are told of a job: see missing.
func (s *Store) answered(ctx context.Context, id job.ID, reply []any) error {
	return s.missing(ctx, id, status(id, reply))
}
