package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"longshore/internal/blob"
	"longshore/internal/loop"
)

var _ blob.Pieces = (*Store)(nil)

// A partial blob is a multipart upload of the blob's key, and objects below
// "partial/<name>/<token>/":
//
//	state        which upload it is; never changed
//	tail-<end>   the bytes after the last whole part up to an offset, in 16
//	             hexadecimal digits
//
// Part n holds exactly bytes (n-1)·P to n·P, P being in the state; the last one
// ends with the blob. A part and a tail are each written by one request, so how
// many bytes are there can be told after any of them: those of the whole parts
// from the first on, and the longest tail that goes on where these end. Who
// writes a part or a tail again writes the same bytes to the same place.
const (
	partialDir = "partial/"
	stateLeaf  = "state"
	tailLeaf   = "tail-"
)

// A state says where a partial blob grows.
type state struct {
	Upload   string `json:"upload,omitempty"` // "" = the blob has no bytes
	PartSize int64  `json:"part_size"`        // bytes
	Size     int64  `json:"size"`             // bytes
	Direct   bool   `json:"direct,omitempty"` // clients send the parts, see direct.go
	Summed   bool   `json:"summed,omitempty"` // … with their SHA-256
}

// partial returns the prefix of a partial blob's objects.
func (s *Store) partial(name, token string) (prefix string, err error) {
	if err := blob.CheckName(name); err != nil {
		return "", err
	}
	if len(token) != 32 || strings.Trim(token, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: bad token", blob.ErrNotFound)
	}
	prefix = s.prefix + partialDir + name + "/" + token + "/"
	if len(tailKey(prefix, 0)) > maxKey {
		return "", fmt.Errorf("%w: its key has more than %d bytes", blob.ErrBadName, maxKey)
	}
	return prefix, nil
}

func tailKey(prefix string, end int64) string { return fmt.Sprintf("%s%s%016x", prefix, tailLeaf, end) }

// pieceSize returns the size of the parts of a blob: the store's, or more where
// that would be too many parts.
func (s *Store) pieceSize(size int64) (int64, error) {
	const step = 1 << 20
	least := (size + maxParts - 1) / maxParts
	part := max(s.partSize, (least+step-1)/step*step)
	if part > maxPart {
		return 0, fmt.Errorf("%w: %d bytes are more than %d parts of %d MiB", blob.ErrNoSpace, size, maxParts,
			maxPart>>20)
	}
	return part, nil
}

// Begin starts a multipart upload, and notes which.
func (s *Store) Begin(ctx context.Context, name string, size int64) (token string, err error) {
	return s.beginPieces(ctx, name, state{Size: size})
}

func (s *Store) beginPieces(ctx context.Context, name string, st state) (token string, err error) {
	var b [16]byte
	rand.Read(b[:])
	token = hex.EncodeToString(b[:])
	prefix, err := s.partial(name, token)
	if err != nil {
		return "", err
	}
	st.PartSize, err = s.pieceSize(st.Size)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = s.begin(ctx, s.key(name), prefix, token, st)
	}
	if err != nil {
		return "", fmt.Errorf("begin blob %s: %w", name, storeError(ctx, err))
	}
	return token, nil
}

func (s *Store) begin(ctx context.Context, key, prefix, token string, st state) error {
	if st.Size > 0 {
		input := &s3.CreateMultipartUploadInput{Bucket: &s.bucket, Key: &key,
			Metadata: map[string]string{tokenKey: token}}
		if st.Summed {
			input.ChecksumAlgorithm = types.ChecksumAlgorithmSha256
		}
		out, err := s.api.CreateMultipartUpload(ctx, input)
		if err != nil {
			return err
		}
		st.Upload = aws.ToString(out.UploadId)
	}
	text, err := json.Marshal(st)
	if err == nil {
		_, err = s.api.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.bucket,
			Key: aws.String(prefix + stateLeaf), Body: bytes.NewReader(text)})
	}
	if err != nil && st.Upload != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		_ = s.abort(ctx, key, st.Upload) // else the sweep gets it
	}
	return err
}

func (s *Store) readState(ctx context.Context, key string) (st state, err error) {
	out, err := s.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return state{}, err
	}
	defer out.Body.Close()
	text, err := io.ReadAll(io.LimitReader(out.Body, 64<<10))
	if err != nil {
		return state{}, err
	}
	if err := json.Unmarshal(text, &st); err != nil || st.PartSize <= 0 || st.Size < 0 {
		return state{}, fmt.Errorf("%s is no state of an upload", key)
	}
	return st, nil
}

// A finding is what is there of a blob that comes in pieces.
type finding struct {
	state
	key, prefix string
	made        bool  // it is a blob already, of Size bytes
	have        int64 // bytes
	whole       int64 // those in parts; the others are a tail
	parts       []types.CompletedPart
	tails       []int64     // their ends, ascending; also of those that no longer count
	there       []blob.Part // all of one that is direct
}

// limbo is how long a multipart upload may be gone, and the blob not there:
// some servers show neither while another process's upload is completed.
const limbo = 5 * time.Second

// find looks at what is there. ErrNotFound: neither a partial blob nor a blob
// that was made from it.
func (s *Store) find(ctx context.Context, name, token string) (*finding, error) {
	prefix, err := s.partial(name, token)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	f := &finding{key: s.key(name), prefix: prefix}
	f.state, err = s.readState(ctx, prefix+stateLeaf)
	if notFound(err) {
		return f, s.findMade(ctx, f, token)
	}
	if err != nil || f.Upload == "" {
		return f, err
	}
	for start, pause := time.Now(), 50*time.Millisecond; ; pause *= 2 {
		err := s.look(ctx, f)
		if !noSuchUpload(err) {
			return f, err
		}
		if err := s.findMade(ctx, f, token); !errors.Is(err, blob.ErrNotFound) || time.Since(start) > limbo {
			return f, err
		}
		if err := loop.Sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

func (s *Store) look(ctx context.Context, f *finding) error {
	if f.Direct {
		return s.findAll(ctx, f)
	}
	// Tails first: one is deleted when a part holds its bytes, not before.
	if err := s.findTails(ctx, f); err != nil {
		return err
	}
	return s.findParts(ctx, f)
}

// findMade looks for the blob, as made from this partial blob and no other.
func (s *Store) findMade(ctx context.Context, f *finding, token string) error {
	out, err := s.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &f.key})
	if notFound(err) || err == nil && out.Metadata[tokenKey] != token {
		return blob.ErrNotFound
	}
	if err != nil {
		return err
	}
	f.made, f.Size = true, aws.ToInt64(out.ContentLength)
	f.have, f.whole = f.Size, f.Size
	return nil
}

func (s *Store) findTails(ctx context.Context, f *finding) error {
	f.tails = nil
	for object, err := range s.objects(ctx, f.prefix+tailLeaf) {
		if err != nil {
			return err
		}
		if end, err := strconv.ParseInt(strings.TrimPrefix(aws.ToString(object.Key), f.prefix+tailLeaf), 16,
			64); err == nil {
			f.tails = append(f.tails, end)
		}
	}
	slices.Sort(f.tails)
	return nil
}

// allParts yields the parts of a multipart upload, by number.
func (s *Store) allParts(ctx context.Context, f *finding) iter.Seq2[types.Part, error] {
	return loop.Pages(func(cursor string) ([]types.Part, string, error) {
		input := &s3.ListPartsInput{Bucket: &s.bucket, Key: &f.key, UploadId: &f.Upload,
			MaxParts: s.maxKeys()}
		if cursor != "" {
			input.PartNumberMarker = &cursor
		}
		page, err := s.api.ListParts(ctx, input)
		switch {
		case err != nil:
			return nil, "", err
		case aws.ToBool(page.IsTruncated):
			return page.Parts, aws.ToString(page.NextPartNumberMarker), nil
		}
		return page.Parts, "", nil
	})
}

// findParts counts the whole parts from the first on, and the tail behind them.
func (s *Store) findParts(ctx context.Context, f *finding) error {
	f.parts, f.whole = nil, 0
	for part, err := range s.allParts(ctx, f) {
		if err != nil {
			return err
		}
		size := min(f.PartSize, f.Size-f.whole)
		if size == 0 || int(aws.ToInt32(part.PartNumber)) != len(f.parts)+1 ||
			aws.ToInt64(part.Size) != size {
			break // those behind it have higher numbers still
		}
		f.parts = append(f.parts, types.CompletedPart{PartNumber: part.PartNumber, ETag: part.ETag})
		f.whole += size
	}
	f.have = f.whole
	end := min(f.whole+f.PartSize, f.Size) // a tail has less than a part
	for _, tail := range f.tails {
		if tail > f.have && tail < end {
			f.have = tail
		}
	}
	return nil
}

// Offset returns how many bytes there are.
func (s *Store) Offset(ctx context.Context, name, token string) (int64, error) {
	f, err := s.find(ctx, name, token)
	if err != nil {
		return 0, fmt.Errorf("look at partial blob %s: %w", name, pieceError(ctx, err))
	}
	return f.have, nil
}

// pieceError is storeError for requests about a multipart upload, which may be
// aborted meanwhile.
func pieceError(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, blob.ErrNotFound), errors.Is(err, blob.ErrBadName):
		return err
	case noSuchUpload(err) && ctx.Err() == nil:
		return fmt.Errorf("%w: %w", blob.ErrNotFound, err)
	}
	return storeError(ctx, err)
}

// Drop aborts the upload and deletes the objects, the state last: as long as
// that is there, Partials finds what is left.
func (s *Store) Drop(ctx context.Context, name, token string) error {
	prefix, err := s.partial(name, token)
	if err != nil {
		return err
	}
	st, err := s.readState(ctx, prefix+stateLeaf)
	if err == nil && st.Upload != "" {
		if err = s.abort(ctx, s.key(name), st.Upload); noSuchUpload(err) {
			err = nil
		}
	}
	if err == nil || notFound(err) {
		err = s.deletePartial(ctx, prefix)
	}
	if err != nil {
		return fmt.Errorf("drop partial blob %s: %w", name, storeError(ctx, err))
	}
	return nil
}

func (s *Store) deletePartial(ctx context.Context, prefix string) error {
	if err := s.deleteAll(ctx, prefix+tailLeaf); err != nil {
		return err
	}
	return s.deleteAll(ctx, prefix)
}

// Partials yields the partial blobs all of whose objects are older than a time,
// which those are that were begun before it and of which no tail was written
// since. Parts that came since are not asked for: it would take a request each.
func (s *Store) Partials(ctx context.Context, before time.Time) iter.Seq2[blob.Partial, error] {
	return func(yield func(blob.Partial, error) bool) {
		var current blob.Partial
		old := true
		for object, err := range s.objects(ctx, s.prefix+partialDir) {
			if err != nil {
				yield(blob.Partial{}, fmt.Errorf("list partial blobs: %w", storeError(ctx, err)))
				return
			}
			p, ok := parsePartial(strings.TrimPrefix(aws.ToString(object.Key), s.prefix+partialDir))
			if !ok {
				continue // not ours
			}
			if p != current {
				if current.Name != "" && old && !yield(current, nil) {
					return
				}
				current, old = p, true
			}
			old = old && object.LastModified != nil && object.LastModified.Before(before)
		}
		if current.Name != "" && old {
			yield(current, nil)
		}
	}
}

// parsePartial reads "<name>/<token>/<leaf>".
func parsePartial(key string) (p blob.Partial, ok bool) {
	dir := key[:max(0, strings.LastIndexByte(key, '/'))]
	slash := max(0, strings.LastIndexByte(dir, '/'))
	p.Name, p.Token = dir[:slash], strings.TrimPrefix(dir[slash:], "/")
	return p, len(p.Token) == 32 && blob.CheckName(p.Name) == nil
}

// growing reports whether a multipart upload is one of a blob that comes in
// pieces.
func (s *Store) growing(ctx context.Context, key, upload string) (bool, error) {
	name, ok := strings.CutPrefix(key, s.key(""))
	if !ok {
		return false, nil
	}
	for object, err := range s.objects(ctx, s.prefix+partialDir+name+"/") {
		if err != nil {
			return false, err
		}
		if !strings.HasSuffix(aws.ToString(object.Key), "/"+stateLeaf) {
			continue
		}
		st, err := s.readState(ctx, aws.ToString(object.Key))
		switch {
		case notFound(err): // finished or dropped meanwhile
		case err != nil:
			return false, err
		case st.Upload == upload:
			return true, nil
		}
	}
	return false, nil
}
