package connect

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"longshore/internal/blob"
	"longshore/internal/blob/bucket"
	"longshore/internal/blob/disk"
	"longshore/job"
)

// A place is a blob store that outlives the process, and knows which one it is.
type place interface {
	blob.Store
	ID() string
	Close() error
	SweepTemp(ctx context.Context, before time.Time) (int, error)
}

// openBlobs opens the blob store and makes sure that every process of the
// installation means the same one: a worker that looks for inputs elsewhere
// than where web writes them would fail every job.
func (s *System) openBlobs(ctx context.Context, c Config) error {
	store, err := openPlace(ctx, c)
	if err != nil {
		return err
	}
	s.Blobs, s.blobs = store, store
	registered, err := s.Store.RegisterBlobs(ctx, store.ID())
	if err != nil {
		return fmt.Errorf("register blob store: %w", err)
	}
	if registered != store.ID() {
		where, _, _ := strings.Cut(c.BlobURL, "?")
		return fmt.Errorf("%w: BLOB_URL: %s is not where the other processes of this installation keep their files", ErrSettings, where)
	}
	return nil
}

// openPlace opens what a BLOB_URL names.
func openPlace(ctx context.Context, c Config) (place, error) {
	if strings.HasPrefix(c.BlobURL, "s3:") {
		location, err := bucket.ParseURL(c.BlobURL)
		if err != nil {
			return nil, fmt.Errorf("%w: BLOB_URL: %w", ErrSettings, err)
		}
		store, err := bucket.Open(ctx, location, bucket.Access{KeyID: c.S3KeyID, SecretKey: c.S3SecretKey,
			SessionToken: c.S3SessionToken, Region: c.S3Region})
		if errors.Is(err, bucket.ErrSettings) {
			err = fmt.Errorf("%w: BLOB_URL: %w", ErrSettings, err)
		}
		if err != nil {
			return nil, err
		}
		return store, nil
	}
	folder, err := blobFolder(c.BlobURL)
	if err != nil {
		return nil, fmt.Errorf("%w: BLOB_URL: %w", ErrSettings, err)
	}
	store, err := disk.Open(folder)
	if err != nil {
		return nil, fmt.Errorf("%w: BLOB_URL: %w", ErrSettings, err)
	}
	store.KeepFree(c.MinFreeSpace)
	return store, nil
}

// blobFolder reads a file URL.
func blobFolder(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "file" || u.Host != "" || u.Path == "" && u.Opaque == "" {
		return "", errors.New("expected file:///folder, file:folder for one in the working directory, or s3://bucket")
	}
	if u.Path != "" {
		return u.Path, nil
	}
	name, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return "", err
	}
	return filepath.Abs(name)
}

// How removed jobs are forgotten: so many wait, and so many are deleted at once.
// A bucket takes two requests for each.
const (
	maxGone    = 10_000
	goneAtOnce = 16
)

var errGoneFull = errors.New("too many removed jobs wait for the deletion of their files, which stay until they are found as orphans")

// forget has a removed job's blobs deleted soon. It doesn't wait: the sweep that
// removed the job mends leases too, and a blob store may be slow.
func (s *System) forget(_ context.Context, id job.ID) error {
	select {
	case s.gone <- id:
		return nil
	default:
		return errGoneFull
	}
}

// deleteGone deletes blobs of removed jobs until ctx ends, and then those that
// wait, for a few seconds.
func (s *System) deleteGone(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range goneAtOnce {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					s.deleteRest(context.WithoutCancel(ctx))
					return
				case id := <-s.gone:
					s.deleteBlobs(context.WithoutCancel(ctx), id)
				}
			}
		})
	}
	return nil
}

func (s *System) deleteRest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case id := <-s.gone:
			s.deleteBlobs(ctx, id)
		default:
			return
		}
	}
}

func (s *System) deleteBlobs(ctx context.Context, id job.ID) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.Blobs.Delete(ctx, string(id)); err != nil {
		s.Log.WarnContext(ctx, "files of a removed job stay until they are found as orphans", "job_id", id, "error", err)
	}
}

// How uploads in pieces are looked after: so many wait, and so many are looked
// at at once. The time is for a large one to be completed, which can take a
// bucket a while.
const (
	maxLooks    = 1000
	looksAtOnce = 4
	lookTimeout = time.Minute
)

var errLooksFull = errors.New("too many uploads wait to be looked after; they will be found again")

// lookAfter has an upload in pieces looked after soon. It doesn't wait, as
// forget doesn't.
func (s *System) lookAfter(_ context.Context, id job.ID) error {
	select {
	case s.looks <- id:
		return nil
	default:
		return errLooksFull
	}
}

// lookAfterUploads looks after uploads in pieces until ctx ends. Those that wait
// then are found again by another process.
func (s *System) lookAfterUploads(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	door := s.mender()
	for range looksAtOnce {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case id := <-s.looks:
					look, cancel := context.WithTimeout(ctx, lookTimeout)
					if err := door.LookAfter(look, id); err != nil && ctx.Err() == nil {
						s.Log.WarnContext(ctx, "upload in pieces can't be looked after, and will be found again", "job_id", id, "error", err)
					}
					cancel()
				}
			}
		})
	}
	return nil
}

// orphanAge is how old a blob without a record must be to be deleted: an
// upload under way may not have its record's last word yet.
const orphanAge = 24 * time.Hour

// partialAge is the same for what is there of an upload in pieces, whose record
// names it a moment after it was begun.
const partialAge = time.Hour

// SweepOrphans deletes blobs that no record knows, again and again until ctx ends.
func (s *System) SweepOrphans(ctx context.Context) error {
	return s.every(ctx, time.Hour, "sweep orphan blobs", func(ctx context.Context) error {
		return errors.Join(s.sweepOrphans(ctx, time.Now().Add(-orphanAge)),
			s.mender().SweepPartials(ctx, time.Now().Add(-partialAge)))
	})
}

func (s *System) sweepOrphans(ctx context.Context, before time.Time) error {
	if _, err := s.blobs.SweepTemp(ctx, before); err != nil {
		return err
	}
	for name, err := range s.Blobs.Jobs(ctx, before) {
		if err != nil {
			return err
		}
		id, err := job.ParseID(name)
		if err != nil {
			continue // not ours
		}
		there, err := s.Store.Exists(ctx, []job.ID{id})
		if err != nil {
			return err
		}
		if !there[0] {
			if err := s.Blobs.Delete(ctx, name); err != nil {
				return err
			}
			s.Log.InfoContext(ctx, "orphan blobs deleted", "job_id", name)
		}
	}
	return nil
}
