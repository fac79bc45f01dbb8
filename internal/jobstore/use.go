package jobstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/batch"
	"longshore/job"
)

// A job may work on the files of another one, the owner, by reference. Their
// records lie in different slots, so no script sees both. Instead the user
// registers with the owner before its own record is made; the owner's removal
// is refused while anybody is registered, and a sweep whose turn it is looks
// whether the users are still open.

// Use registers a job as a user of an ended job's files, which then stay at
// least until the user has ended. Errors: job.ErrNotFound, job.ErrNotEnded.
func (s *Store) Use(ctx context.Context, owner, user job.ID) error {
	return s.use(ctx, access.Everything, owner, user, "output")
}

// UseInput is Use for the ended job's input. Errors besides: job.ErrInputGone.
func (s *Store) UseInput(ctx context.Context, owner, user job.ID) error {
	return s.use(ctx, access.Everything, owner, user, "input")
}

func (s *Store) use(ctx context.Context, by access.View, owner, user job.ID, what string) error {
	c := s.callFor(by, owner, string(user), what)
	if err := batch.RunAll(ctx, s.rdb, s.scripts.use, 1, []*batch.Call{c}); err != nil {
		return err
	}
	return s.answered(ctx, owner, c.Reply)
}

// Unuse takes a registration back, of a job that was not made after all.
func (s *Store) Unuse(ctx context.Context, owner, user job.ID) error {
	_, err := s.unuse(ctx, owner, []string{string(user), ""}, []string{"0"})
	return err
}

// EraseInput notes that the input of an ended job, whose own file it is, is deleted, which is the caller's
// to do, and to tell InputErased. Where an open job works on its files it stays: job.ErrInUse.
func (s *Store) EraseInput(ctx context.Context, owner job.ID) error {
	_, err := s.unlessUsed(ctx, owner, func() error { return s.erase(ctx, owner, "file") })
	return err
}

// InputErased notes that the input is deleted that a job was the last to work on.
func (s *Store) InputErased(ctx context.Context, id job.ID) error { return s.erase(ctx, id, "done") }

func (s *Store) erase(ctx context.Context, id job.ID, what string) error {
	c := s.call(id, what)
	if err := batch.RunAll(ctx, s.rdb, s.scripts.erase, 1, []*batch.Call{c}); err != nil {
		return err
	}
	return s.answered(ctx, id, c.Reply)
}

// Remove forgets a job that has ended; its blobs are the caller's to delete.
// One whose files an open job uses stays: a *job.InUseError.
func (s *Store) Remove(ctx context.Context, id job.ID) error {
	return s.removeUnused(ctx, access.Everything, id)
}

func (s *Store) removeUnused(ctx context.Context, by access.View, id job.ID) error {
	user, err := s.unlessUsed(ctx, id, func() error { return s.remove(ctx, by, id) })
	if errors.Is(err, job.ErrInUse) {
		return &job.InUseError{ID: id, By: user}
	}
	return err
}

// unlessUsed does what job.ErrInUse hinders, once those are struck off who use the owner's files no more;
// user is one that still does.
func (s *Store) unlessUsed(ctx context.Context, owner job.ID, do func() error) (user job.ID, err error) {
	if err = do(); !errors.Is(err, job.ErrInUse) {
		return "", err
	}
	if user, err = s.dropUsers(ctx, owner); err != nil {
		return "", err
	}
	return user, do()
}

func (s *Store) remove(ctx context.Context, by access.View, id job.ID) error {
	c := s.callFor(by, id, "")
	if err := batch.RunAll(ctx, s.rdb, s.scripts.remove, 1, []*batch.Call{c}); err != nil {
		return err
	}
	if err := s.answered(ctx, id, c.Reply); err != nil {
		return err
	}
	return s.removed(ctx, id, c.Reply)
}

// dropUsers strikes the users off that have ended, or that were never made, and
// returns one that stays: it is still open, or may be about to be made. It stops
// there: those that it did not look at count until the next time.
func (s *Store) dropUsers(ctx context.Context, owner job.ID) (open job.ID, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	key := s.base(owner) + "u:" + owner.Raw()
	for cursor := uint64(0); ; {
		page, next, err := s.rdb.HScan(ctx, key, cursor, "", bulkSize).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return "", fmt.Errorf("users of %s: %w", owner, err)
		}
		open, err := s.dropPage(ctx, owner, page)
		if err != nil || open != "" || next == 0 {
			return open, err
		}
		cursor = next
	}
}

// dropPage is dropUsers for some: user, time of registration, user, …
func (s *Store) dropPage(ctx context.Context, owner job.ID, page []string) (open job.ID, err error) {
	ids := make([]job.ID, 0, len(page)/2)
	for i := 0; i+1 < len(page); i += 2 {
		ids = append(ids, job.ID(page[i]))
	}
	if len(ids) == 0 {
		return "", nil
	}
	revs, err := s.Revs(ctx, ids)
	if err != nil {
		return "", fmt.Errorf("users of %s: %w", owner, err)
	}
	var gone, ages []string
	for i, rev := range revs {
		switch {
		case rev.Done:
			gone, ages = append(gone, page[2*i], page[2*i+1]), append(ages, "0")
		case rev.Missing:
			// Its record may be on the way.
			gone, ages = append(gone, page[2*i], page[2*i+1]), append(ages, strconv.Itoa(unusedMS))
		default:
			open = rev.ID
		}
	}
	kept, err := s.unuse(ctx, owner, gone, ages)
	if err != nil {
		return "", fmt.Errorf("users of %s: %w", owner, err)
	}
	return cmp.Or(open, kept), nil
}

// unuse strikes off users, given with the time of their registration ("" for
// any) if that is old enough, and returns one for which it is not.
func (s *Store) unuse(ctx context.Context, owner job.ID, users, ages []string) (kept job.ID, err error) {
	calls := make([]*batch.Call, len(ages))
	for i, age := range ages {
		calls[i] = s.call(owner, users[2*i], users[2*i+1], age)
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.unuse, bulkSize, calls); err != nil {
		return "", err
	}
	for i, c := range calls {
		if text(c.Reply[0]) == "kept" {
			kept = job.ID(users[2*i])
		}
	}
	return kept, nil
}
