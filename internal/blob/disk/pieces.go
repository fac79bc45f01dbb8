package disk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"longshore/internal/blob"
)

var _ blob.Pieces = (*Store)(nil)

// A partial blob is the file "partial/<escaped name>.<token>": one folder, so
// that its entries are durable after one sync and a sweep finds all of them.
const partialDir = "partial"

func partial(name, token string) (string, error) {
	if err := blob.CheckName(name); err != nil {
		return "", err
	}
	if len(token) != 32 || strings.Trim(token, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: bad token", blob.ErrNotFound)
	}
	file := url.PathEscape(name) + "." + token
	if len(file) > 255 {
		return "", fmt.Errorf("%w: it is too long for a blob in pieces", blob.ErrBadName)
	}
	return path.Join(partialDir, file), nil
}

// Begin starts an empty partial blob. Its size is not reserved: a file system
// that is full says so while the bytes come.
func (s *Store) Begin(ctx context.Context, name string, _ int64) (string, error) {
	var b [16]byte
	rand.Read(b[:])
	token := hex.EncodeToString(b[:])
	temp, err := partial(name, token)
	if err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("begin blob %s: %w", name, context.Cause(ctx))
	}
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("begin blob %s: %w", name, storeError(err))
	}
	if err := errors.Join(f.Close(), s.syncDir(partialDir)); err != nil {
		return "", fmt.Errorf("begin blob %s: %w", name, storeError(err))
	}
	return token, nil
}

// Offset returns how many bytes there are. It syncs them first: whoever wrote
// them may have been killed before he could.
func (s *Store) Offset(ctx context.Context, name, token string) (int64, error) {
	temp, err := partial(name, token)
	if err != nil {
		return 0, err
	}
	f, err := s.root.Open(temp)
	if errors.Is(err, fs.ErrNotExist) {
		return s.sizeOf(ctx, name)
	}
	if err != nil {
		return 0, fmt.Errorf("open partial blob %s: %w", name, storeError(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return 0, fmt.Errorf("sync partial blob %s: %w", name, storeError(err))
	}
	return info.Size(), nil
}

func (s *Store) sizeOf(ctx context.Context, name string) (int64, error) {
	r, err := s.Open(ctx, name)
	if err != nil {
		return 0, err
	}
	return r.Size(), r.Close()
}

// pieceBuffer is what one read of a piece takes, in bytes.
const pieceBuffer = 256 << 10

// Append writes what r yields, and syncs it. It writes at offsets and doesn't
// append to the end of the file: of two processes that both think that it is
// their turn, neither spoils what the other wrote.
func (s *Store) Append(ctx context.Context, name, token string, offset int64, r io.Reader) (int64, error) {
	temp, err := partial(name, token)
	if err != nil {
		return 0, err
	}
	f, err := s.root.OpenFile(temp, os.O_WRONLY, 0)
	if err != nil {
		return 0, fmt.Errorf("open partial blob %s: %w", name, storeError(err))
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() < offset {
		return 0, fmt.Errorf("append to partial blob %s at %d: it is shorter (%w)", name, offset,
			errors.Join(err, io.ErrUnexpectedEOF))
	}
	n, cause := s.appendAt(ctx, f, offset, r)
	if err := f.Sync(); err != nil {
		// What was written since may be lost in part. What was acknowledged before is not.
		return 0, fmt.Errorf("sync partial blob %s: %w", name,
			storeError(errors.Join(err, f.Truncate(offset))))
	}
	if cause != nil {
		if info, err := f.Stat(); err == nil { // WriteAt doesn't count what it wrote before it failed
			n = max(n, info.Size()-offset)
		}
		return n, fmt.Errorf("append to partial blob %s: %w", name, storeError(cause))
	}
	return n, nil
}

func (s *Store) appendAt(ctx context.Context, f *os.File, offset int64, r io.Reader) (n int64, err error) {
	buf := make([]byte, pieceBuffer)
	meter := s.floor.Meter()
	defer meter.End()
	handed := offset
	for {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		got, readErr := r.Read(buf)
		if err := meter.Take(got); err != nil {
			return n, err
		}
		put, err := f.WriteAt(buf[:got], offset+n)
		if n += int64(put); err != nil {
			return n, err
		}
		if end := offset + n; end-handed >= writebackSize {
			startWriteback(f, handed, end-handed)
			handed = end
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return n, nil
		case readErr != nil:
			return n, readErr
		}
	}
}

// FinishPieces syncs the partial blob and gives it its name, by a rename.
func (s *Store) FinishPieces(ctx context.Context, name, token string) (blob.Info, error) {
	temp, err := partial(name, token)
	if err != nil {
		return blob.Info{}, err
	}
	f, err := s.root.Open(temp)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		err = s.publish(temp, name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return blob.Info{}, fmt.Errorf("finish blob %s: %w", name, storeError(err))
	}
	// Without a partial blob somebody else has finished it; if not, Open says so.
	blobFile, err := s.Open(ctx, name)
	if err != nil {
		return blob.Info{}, err
	}
	defer blobFile.Close()
	digest := blob.NewDigest()
	if _, err := io.CopyN(digest, blobFile, sniffed); err != nil && !errors.Is(err, io.EOF) {
		return blob.Info{}, fmt.Errorf("finish blob %s: %w", name, err)
	}
	return blob.Info{Size: blobFile.Size(), ContentType: digest.Info().ContentType}, nil
}

// sniffed is how many bytes a content type is found by.
const sniffed = 512

// publish renames a synced file to a blob's name, durably.
func (s *Store) publish(temp, name string) error {
	target := file(name)
	dir := path.Dir(target)
	if err := s.rename(temp, dir, target); err != nil {
		return err
	}
	return s.syncUp(dir)
}

// Drop deletes a partial blob.
func (s *Store) Drop(_ context.Context, name, token string) error {
	temp, err := partial(name, token)
	if err != nil {
		return err
	}
	if err := s.root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop partial blob %s: %w", name, err)
	}
	return nil
}

// Partials yields the partial blobs that were last written before a time.
func (s *Store) Partials(ctx context.Context, before time.Time) iter.Seq2[blob.Partial, error] {
	return func(yield func(blob.Partial, error) bool) {
		files, err := fs.ReadDir(s.root.FS(), partialDir)
		if err != nil {
			yield(blob.Partial{}, fmt.Errorf("list partial blobs: %w", err))
			return
		}
		for _, f := range files {
			if ctx.Err() != nil {
				yield(blob.Partial{}, fmt.Errorf("list partial blobs: %w", context.Cause(ctx)))
				return
			}
			dot := max(0, strings.LastIndexByte(f.Name(), '.'))
			name, err := url.PathUnescape(f.Name()[:dot])
			info, err2 := f.Info()
			if dot == 0 || err != nil || err2 != nil || !info.ModTime().Before(before) {
				continue // not ours, gone meanwhile, or too young
			}
			if !yield(blob.Partial{Name: name, Token: f.Name()[dot+1:]}, nil) {
				return
			}
		}
	}
}
