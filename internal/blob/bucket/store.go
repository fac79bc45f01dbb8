// Package bucket keeps blobs as objects of a bucket, in AWS's S3 or in what
// speaks its protocol.
//
// Keys, below the prefix of the URL:
//
//	store-id          a random id, so that two processes can tell whether they
//	                  look at the same place
//	jobs/<job>/…      blobs
//	partial/…         what is known of blobs that come in pieces (pieces.go)
//
// A blob that fits into one part is put in one request; a larger one is a
// multipart upload, whose parts nobody sees before it is completed. So nothing
// is ever visible by half. What a killed process leaves behind is an upload
// that was not completed; SweepTemp aborts those. A blob that comes in pieces is
// a multipart upload too, which any process goes on with.
//
// What the server has to offer beside the plain requests: conditional writes
// (If-None-Match: *), for the id. The credentials need the rights ListBucket,
// GetObject, PutObject, DeleteObject, AbortMultipartUpload,
// ListMultipartUploadParts and ListBucketMultipartUploads.
package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"longshore/internal/blob"
)

// Access is what the bucket is opened with.
type Access struct {
	KeyID        string // AWS_ACCESS_KEY_ID
	SecretKey    string // AWS_SECRET_ACCESS_KEY
	SessionToken string // AWS_SESSION_TOKEN; "" = none
	Region       string // where the URL names none; "" = us-east-1
}

// A Store is a bucket, or the part of it below a prefix. Several processes may
// use one.
type Store struct {
	api      *s3.Client
	client   *http.Client
	signer   *s3.PresignClient // for addresses that clients reach
	bucket   string
	prefix   string
	id       string
	pageSize int32 // of lists; 0 = the server's, 1000

	partSize int64
	parts    sync.Pool     // of *[]byte with a capacity of partSize
	flight   chan struct{} // a place for each part on its way
}

var _ blob.Store = (*Store)(nil)

const (
	idKey   = "store-id"
	jobsDir = "jobs/"
	maxKey  = 1024 // bytes, S3's limit
	// maxFlight bounds the parts that all writers together have on their way.
	maxFlight = 8
	// smallTimeout is for a request that carries nothing to speak of, with its
	// retries.
	smallTimeout = 2 * time.Minute
)

// Open opens a bucket, which must exist, and makes sure that objects can be
// read and written there. An error wraps ErrSettings where other settings would
// mend it, and blob.ErrUnavailable where time may.
func Open(ctx context.Context, l Location, a Access) (*Store, error) {
	if a.KeyID == "" || a.SecretKey == "" {
		return nil, fmt.Errorf("%w: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set", ErrSettings)
	}
	if l.Region == "" {
		l.Region = a.Region
	}
	api, client := newClient(l, a)
	s := &Store{api: api, client: client, signer: newSigner(api, l), bucket: l.Bucket, prefix: l.Prefix,
		partSize: l.PartSize, flight: make(chan struct{}, maxFlight)}
	s.parts.New = func() any { b := make([]byte, 0, s.partSize); return &b }
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		client.CloseIdleConnections()
		return nil, fmt.Errorf("open bucket %s: %w", l.Bucket, startError(ctx, err))
	}
	return s, nil
}

// ID returns the random id that this place got when it was first opened, 32
// hexadecimal digits.
func (s *Store) ID() string { return s.id }

// Close lets go of idle connections. Blobs that are open stay readable.
func (s *Store) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// prepare reads the id, or draws it. Of several processes that do so at once
// one wins, because a conditional put fails where there is an object.
func (s *Store) prepare(ctx context.Context) error {
	err := s.readID(ctx)
	if !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	var b [16]byte
	rand.Read(b[:])
	_, err = s.api.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + idKey),
		IfNoneMatch: aws.String("*"),
		Body:        strings.NewReader(hex.EncodeToString(b[:]) + "\n")})
	if err != nil && !taken(err) {
		return err
	}
	return s.readID(ctx)
}

func (s *Store) readID(ctx context.Context) error {
	out, err := s.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + idKey)})
	if err != nil {
		if notFound(err) {
			return blob.ErrNotFound
		}
		return err
	}
	defer out.Body.Close()
	text, err := io.ReadAll(io.LimitReader(out.Body, 64))
	if err != nil {
		return err
	}
	if s.id = string(bytes.TrimSpace(text)); !idForm.MatchString(s.id) {
		return fmt.Errorf("%w: %s does not hold 32 hexadecimal digits", ErrSettings, s.prefix+idKey)
	}
	return nil
}

func (s *Store) key(name string) string { return s.prefix + jobsDir + name }

// Create starts a blob. An upload holds at most one part in memory, and all
// together eight more that are on their way.
func (s *Store) Create(ctx context.Context, name string) (blob.Writer, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if len(s.key(name)) > maxKey {
		return nil, fmt.Errorf("%w: its key has more than %d bytes", blob.ErrBadName, maxKey)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("create blob %s: %w", name, context.Cause(ctx))
	}
	return newWriter(ctx, s, name), nil
}

// Open opens a committed blob, by one request that also brings its content.
func (s *Store) Open(ctx context.Context, name string) (blob.Reader, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("open blob %s: %w", name, context.Cause(ctx))
	}
	r := &reader{ctx: ctx, store: s, name: name, key: s.key(name)}
	if err := r.request(); err != nil {
		return nil, fmt.Errorf("open blob %s: %w", name, storeError(ctx, err))
	}
	return r, nil
}

// Delete removes every blob below a prefix.
func (s *Store) Delete(ctx context.Context, prefix string) error {
	if err := blob.CheckPrefix(prefix); err != nil {
		return err
	}
	if err := s.deleteAll(ctx, s.key(prefix)+"/"); err != nil {
		return fmt.Errorf("delete blobs %s/: %w", prefix, storeError(ctx, err))
	}
	return nil
}

// Remove removes one blob.
func (s *Store) Remove(parent context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(parent, smallTimeout)
	defer cancel()
	key := s.key(name)
	if _, err := s.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key}); err != nil {
		return fmt.Errorf("remove blob %s: %w", name, storeError(parent, err))
	}
	return nil
}

// deleteAll lists from the start until nothing is left: what it lists it
// deletes, so that ends.
func (s *Store) deleteAll(parent context.Context, prefix string) error {
	for {
		ctx, cancel := context.WithTimeout(parent, smallTimeout)
		more, err := s.deletePage(ctx, prefix)
		cancel()
		if err != nil || !more {
			return err
		}
	}
}

func (s *Store) deletePage(ctx context.Context, prefix string) (more bool, err error) {
	page, err := s.api.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix,
		MaxKeys: s.maxKeys()})
	if err != nil || len(page.Contents) == 0 {
		return false, err
	}
	doomed := &types.Delete{Quiet: aws.Bool(true)}
	for _, object := range page.Contents {
		doomed.Objects = append(doomed.Objects, types.ObjectIdentifier{Key: object.Key})
	}
	out, err := s.api.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &s.bucket, Delete: doomed})
	if err != nil {
		return false, err
	}
	for _, e := range out.Errors {
		if aws.ToString(e.Code) != "NoSuchKey" {
			return false, fmt.Errorf("%s: %s", aws.ToString(e.Code), aws.ToString(e.Message))
		}
	}
	return aws.ToBool(page.IsTruncated), nil
}

func (s *Store) maxKeys() *int32 {
	if s.pageSize == 0 {
		return nil
	}
	return &s.pageSize
}

// Jobs yields the jobs all of whose objects are older than a time. A job's keys
// follow one another in the list, so one of them is held at a time.
func (s *Store) Jobs(ctx context.Context, before time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		current, old := "", true
		for object, err := range s.objects(ctx, s.key("")) {
			if err != nil {
				yield("", fmt.Errorf("list blobs: %w", storeError(ctx, err)))
				return
			}
			name, ok := strings.CutPrefix(aws.ToString(object.Key), s.key(""))
			job, _, below := strings.Cut(name, "/")
			if !ok || !below || job == "" {
				continue // not ours
			}
			if job != current {
				if current != "" && old && !yield(current, nil) {
					return
				}
				current, old = job, true
			}
			old = old && object.LastModified != nil && object.LastModified.Before(before)
		}
		if current != "" && old {
			yield(current, nil)
		}
	}
}

// objects lists what is below a prefix, page by page. What is deleted meanwhile
// does no harm.
func (s *Store) objects(parent context.Context, prefix string) iter.Seq2[types.Object, error] {
	return func(yield func(types.Object, error) bool) {
		input := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix, MaxKeys: s.maxKeys()}
		for {
			ctx, cancel := context.WithTimeout(parent, smallTimeout)
			page, err := s.api.ListObjectsV2(ctx, input)
			cancel()
			if err != nil {
				yield(types.Object{}, err)
				return
			}
			for _, object := range page.Contents {
				if !yield(object, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) || aws.ToString(page.NextContinuationToken) == "" {
				return
			}
			input.ContinuationToken = page.NextContinuationToken
		}
	}
}

// SweepTemp aborts uploads that were started before a time and never completed,
// as a killed process leaves them behind, and returns how many. Choose a time
// before which no upload that still lives can have been started, but for blobs
// that come in pieces: those are left alone, and ended by Drop.
func (s *Store) SweepTemp(ctx context.Context, before time.Time) (aborted int, err error) {
	aborted, err = s.sweepUploads(ctx, before)
	if err != nil {
		return aborted, fmt.Errorf("sweep unfinished uploads: %w", storeError(ctx, err))
	}
	return aborted, nil
}

func (s *Store) sweepUploads(parent context.Context, before time.Time) (aborted int, err error) {
	prefix := s.key("")
	input := &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &prefix, MaxUploads: s.maxKeys()}
	var errs []error
	for {
		ctx, cancel := context.WithTimeout(parent, smallTimeout)
		page, err := s.api.ListMultipartUploads(ctx, input)
		cancel()
		if err != nil {
			return aborted, errors.Join(append(errs, err)...)
		}
		found := false
		for _, u := range page.Uploads {
			if u.Initiated == nil || !u.Initiated.Before(before) {
				continue
			}
			switch gone, err := s.sweepUpload(parent, aws.ToString(u.Key), aws.ToString(u.UploadId)); {
			case gone:
				aborted++
				found = true
			case err != nil && !noSuchUpload(err): // another process sweeps too
				errs = append(errs, err)
			}
		}
		if !aws.ToBool(page.IsTruncated) {
			return aborted, errors.Join(errs...)
		}
		if found {
			continue // the markers name uploads that are no more: the same page again
		}
		// Not with the upload's marker too, which not all servers understand. What
		// that skips, other uploads of one key, waits for another sweep.
		input.KeyMarker = page.NextKeyMarker
	}
}

func (s *Store) sweepUpload(ctx context.Context, key, upload string) (gone bool, err error) {
	if growing, err := s.growing(ctx, key, upload); growing || err != nil {
		return false, err
	}
	err = s.abort(ctx, key, upload)
	return err == nil, err
}

func (s *Store) abort(ctx context.Context, key, upload string) error {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	_, err := s.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &key,
		UploadId: &upload})
	return err
}
