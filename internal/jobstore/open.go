package jobstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"longshore/job"
)

// An upload in pieces that has begun costs a record and a partial blob, for as
// long as it may be silent, be there a byte of it or not. So those that are open
// are counted, all together and by their client's address. The count stands
// beside the records: what dies before it says that an upload has ended leaves an
// entry, which goes when the upload would have expired.

// Errors of OpenUpload.
var (
	ErrTooManyOpen    = errors.New("too many uploads are open")
	ErrTooManyFromOne = errors.New("too many uploads are open of one address")
)

// openKeys are the sets that an upload counts in. They share a slot.
func (s *Store) openKeys(address string) []string {
	keys := []string{s.prefix + ":{open}:all"}
	if address != "" {
		keys = append(keys, s.prefix+":{open}:a:"+address)
	}
	return keys
}

// OpenUpload counts an upload in pieces that is to begin, or that goes on, as open
// until CloseUpload, or for a while. most bounds those of all, mostOfOne those of
// the address; 0 = no limit. Errors: ErrTooManyOpen, ErrTooManyFromOne.
func (s *Store) OpenUpload(ctx context.Context, id job.ID, address string, lasts time.Duration,
	most, mostOfOne int) error {
	keys := s.openKeys(address)
	n, err := s.scripts.open.Run(ctx, s.rdb, keys, append([]any{string(id), ms(lasts)},
		[]any{most, mostOfOne}[:len(keys)]...)...).Int()
	switch {
	case err != nil:
		return fmt.Errorf("count open uploads: %w", err)
	case n == 1:
		return ErrTooManyOpen
	case n == 2:
		return ErrTooManyFromOne
	}
	return nil
}

// CloseUpload says that an upload in pieces has ended, or was never begun.
func (s *Store) CloseUpload(ctx context.Context, id job.ID, address string) error {
	pipe := s.rdb.Pipeline()
	for _, key := range s.openKeys(address) {
		pipe.ZRem(ctx, key, string(id))
	}
	_, err := pipe.Exec(ctx)
	return err
}
