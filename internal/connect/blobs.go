package connect

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"longshore/internal/blob/bucket"
	"longshore/internal/blob/disk"
	"longshore/internal/janitor"
	"longshore/internal/operate"
)

// A place is a blob store that outlives the process, and knows which one it is.
type place interface {
	janitor.Blobs
	Close() error
}

// openBlobs opens the blob store and makes sure that every process of the
// installation means the same one: a worker that looks for inputs elsewhere
// than where web writes them would fail every job.
func (s *System) openBlobs(ctx context.Context, c Config) error {
	if s.blobs == nil {
		store, err := openPlace(ctx, c)
		if err != nil {
			return err
		}
		s.Blobs, s.blobs = store, store
	}
	store := s.blobs
	registered, err := s.Store.RegisterBlobs(ctx, store.ID())
	if err != nil {
		return fmt.Errorf("register blob store: %w", err)
	}
	if registered != store.ID() {
		where, _, _ := strings.Cut(c.BlobURL, "?")
		return fmt.Errorf(
			"%w: BLOB_URL: %s is not where the other processes of this installation keep their files",
			ErrSettings, where)
	}
	return nil
}

// look has OpenVacant's caller look, at what can be read by then.
func (s *System) look(ctx context.Context, c Config, look looker) error {
	store, err := openPlace(ctx, c)
	if err != nil {
		return err
	}
	s.Blobs, s.blobs = store, store
	s.Desk = operate.New(&operate.Desk{Redis: s.Redis, Prefix: s.Prefix, Store: s.Store, Queue: s.Queue,
		Blobs: s.Blobs, Log: c.Log})
	return look(ctx, s, store.ID())
}

// PlaceID names the place of the blobs.
func (s *System) PlaceID() string { return s.blobs.ID() }

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
		return "", errors.New(
			"expected file:///folder, file:folder for one in the working directory, or s3://bucket")
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
