package jobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A partition of a Cluster may be lost alone: its master comes back empty, or with the data of an older
// day. So each has a mark of its own in P:life, "<epoch> <mark> <ms>", that follows the one of P:meta, and
// P:meta says in "parted" up to which mark all have been marked, "<epoch> <mark>". A partition that has an
// older one, or none, has lost what came since. One that wasn't marked for a while, since it is away, is
// behind, and no loss: parted is behind as well.

// A partMark is what a partition's P:life says; the zero value is that of one that has none.
type partMark struct {
	text  string
	epoch string
	mark  int64
	at    int64 // ms of Redis's clock
	away  bool  // it can't be read now
}

// settled is how old the first marks of an epoch are before they count: a failover may lose a second.
const settled = 2 * time.Second

func parsePartMark(text string) partMark {
	p := partMark{text: text}
	if f := strings.Fields(text); len(f) == 3 {
		p.epoch, p.mark, p.at = f[0], integer(f[1]), integer(f[2])
	}
	return p
}

// lostPart reports whether a partition was lost, and since when, in ms, 0 = from the beginning. parted is
// what P:meta says, and was read before the marks: it is never ahead of them.
func lostPart(epoch, parted, accepted string, marks []partMark) (from int64, lost bool) {
	whole := parsePartMark(parted + " 0")
	if whole.epoch != epoch {
		return 0, false
	}
	for _, p := range marks {
		switch {
		case p.away:
		case p.epoch != epoch && !slices.Contains(strings.Fields(accepted), p.epoch):
			return 0, true
		case p.epoch == epoch && p.mark < whole.mark-1: // "appendfsync everysec" may lose a second
			return p.at, true
		}
	}
	return 0, false
}

// lossOfParts is a loss of partitions that this process notices, and notes for all.
func (s *Store) lossOfParts(ctx context.Context, epoch, parted, accepted string) (Loss, error) {
	if from, lost := lostPart(epoch, parted, accepted, s.partMarks(ctx)); lost {
		return s.noteParts(ctx, epoch, "lost", from)
	}
	return Loss{}, nil
}

// vouchParts compares the partitions' marks with what P:meta says of them, notes a loss, and marks those that
// are behind the mark of now. What is away is compared when it is back.
func (s *Store) vouchParts(ctx context.Context, epoch string, mark int64) (Loss, error) {
	said, err := s.rdb.HMGet(ctx, s.metaKey(), "parted", "accepted").Result()
	if err != nil {
		return Loss{}, fmt.Errorf("compare the partitions: %w", err)
	}
	marks := s.partMarks(ctx)
	if from, lost := lostPart(epoch, text(said[0]), text(said[1]), marks); lost {
		return s.noteParts(ctx, epoch, "lost", from)
	}
	clock, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return Loss{}, fmt.Errorf("compare the partitions: %w", err)
	}
	now, all, first := clock.UnixMilli(), true, parsePartMark(text(said[0])+" 0").epoch != epoch
	_, _ = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error { // who isn't marked now is next time
		for i, p := range marks {
			switch {
			case p.away, first && p.epoch == epoch && now-p.at < settled.Milliseconds():
				all = false
			case p.epoch != epoch || p.mark < mark:
				all = false
				s.scripts.mark.Eval(ctx, pipe, []string{s.bases[i]}, p.text,
					fmt.Sprintf("%s %d %d", epoch, mark, now))
			}
		}
		return nil
	})
	if !all {
		return Loss{}, nil // the next one finds whether all are marked
	}
	return s.noteParts(ctx, epoch, "whole", mark)
}

func (s *Store) partMarks(ctx context.Context) []partMark {
	gets := make([]*redis.StringCmd, len(s.bases))
	_, _ = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error { // each has an error of its own
		for i, base := range s.bases {
			gets[i] = pipe.Get(ctx, base+"life")
		}
		return nil
	})
	marks := make([]partMark, len(gets))
	for i, get := range gets {
		marks[i] = parsePartMark(get.Val())
		marks[i].away = get.Err() != nil && !errors.Is(get.Err(), redis.Nil)
	}
	return marks
}

func (s *Store) noteParts(ctx context.Context, epoch, what string, n int64) (Loss, error) {
	said, err := s.scripts.parts.Run(ctx, s.rdb, []string{s.metaKey()}, epoch, what, n).Text()
	return parseLoss(said), err
}
