package jobstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
}

func parsePartMark(text string) partMark {
	p := partMark{text: text}
	if f := strings.Fields(text); len(f) == 3 {
		p.epoch, p.mark, p.at = f[0], integer(f[1]), integer(f[2])
	}
	return p
}

// vouchParts compares the partitions' marks with what P:meta says of them, notes a loss, and marks those that
// are behind the mark of now.
func (s *Store) vouchParts(ctx context.Context, epoch string, mark int64) (Loss, error) {
	said, err := s.rdb.HMGet(ctx, s.metaKey(), "parted", "accepted").Result()
	if err != nil {
		return Loss{}, fmt.Errorf("compare the partitions: %w", err)
	}
	marks, err := s.partMarks(ctx) // read after what they are compared with, which is never ahead of them
	if err != nil {
		return Loss{}, fmt.Errorf("compare the partitions: %w", err)
	}
	whole, accepted := parsePartMark(text(said[0])+" 0"), strings.Fields(text(said[1]))
	if whole.epoch == epoch {
		for _, p := range marks {
			switch {
			case p.epoch != epoch && !slices.Contains(accepted, p.epoch):
				return s.noteParts(ctx, epoch, "lost", 0)
			case p.epoch == epoch && p.mark < whole.mark-1: // "appendfsync everysec" may lose a second
				return s.noteParts(ctx, epoch, "lost", p.at)
			}
		}
	}
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return Loss{}, err
	}
	all := true
	_, err = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, p := range marks {
			if p.epoch != epoch || p.mark < mark {
				all = false
				s.scripts.mark.Eval(ctx, pipe, []string{s.bases[i]}, p.text,
					fmt.Sprintf("%s %d %d", epoch, mark, now.UnixMilli()))
			}
		}
		return nil
	})
	if err != nil || !all || whole.epoch == epoch && whole.mark >= mark {
		return Loss{}, err // the next one finds whether all are marked
	}
	return s.noteParts(ctx, epoch, "whole", mark)
}

func (s *Store) partMarks(ctx context.Context) ([]partMark, error) {
	gets := make([]*redis.StringCmd, len(s.bases))
	_, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, base := range s.bases {
			gets[i] = pipe.Get(ctx, base+"life")
		}
		return nil
	})
	marks := make([]partMark, len(gets))
	for i, get := range gets {
		marks[i] = parsePartMark(get.Val())
		if e := get.Err(); e != nil && !errors.Is(e, redis.Nil) {
			return nil, e
		}
	}
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return marks, err
}

func (s *Store) noteParts(ctx context.Context, epoch, what string, n int64) (Loss, error) {
	said, err := s.scripts.parts.Run(ctx, s.rdb, []string{s.metaKey()}, epoch, what, n).Text()
	return parseLoss(said), err
}
