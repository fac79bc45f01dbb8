package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"longshore/internal/blob"
)

var _ blob.Direct = (*Store)(nil)

// A partial blob whose parts come straight from clients is a multipart upload too, also where one part is
// all: what was completed can't be replaced by who still has an address, as the object of a signed PUT
// could. It has a state and no tails.

// BeginDirect is Begin, with a state that says so.
func (s *Store) BeginDirect(ctx context.Context, name string, size int64, summed bool) (string, error) {
	return s.beginPieces(ctx, name, state{Size: size, Direct: true, Summed: summed})
}

// findAll finds every part, in any order, and counts the bytes of those of the right length.
func (s *Store) findAll(ctx context.Context, f *finding) error {
	f.parts, f.there, f.have = nil, nil, 0
	all := f.shown()
	for p, err := range s.allParts(ctx, f) {
		if err != nil {
			return err
		}
		part := blob.Part{Number: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size)}
		sum, err := base64.StdEncoding.DecodeString(aws.ToString(p.ChecksumSHA256))
		if err == nil && len(sum) == sha256.Size {
			part.SHA256 = sum
		}
		f.there = append(f.there, part)
		if !all.Right(part) {
			continue
		}
		f.have += part.Size
		f.parts = append(f.parts, types.CompletedPart{PartNumber: p.PartNumber, ETag: p.ETag,
			ChecksumSHA256: p.ChecksumSHA256})
	}
	f.whole = f.have
	return nil
}

func (f *finding) shown() blob.Parts {
	return blob.Parts{Upload: f.Upload, Size: f.Size, PartSize: f.PartSize, Summed: f.Summed, Made: f.made,
		There: f.there}
}

// Parts looks at what is there.
func (s *Store) Parts(ctx context.Context, name, token string) (blob.Parts, error) {
	f, err := s.find(ctx, name, token)
	if err != nil {
		return blob.Parts{}, fmt.Errorf("look at partial blob %s: %w", name, pieceError(ctx, err))
	}
	return f.shown(), nil
}

// SignPart signs the part's length with the request, and its sum.
func (s *Store) SignPart(ctx context.Context, name string, p blob.Parts, part blob.Part,
	life time.Duration) (blob.Signed, error) {
	input := &s3.UploadPartInput{Bucket: &s.bucket, Key: aws.String(s.key(name)), UploadId: &p.Upload,
		PartNumber: aws.Int32(int32(part.Number)), ContentLength: aws.Int64(p.Length(part.Number))}
	if part.SHA256 != nil {
		input.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(part.SHA256))
	}
	signed, err := s.signer.PresignUploadPart(ctx, input, s3.WithPresignExpires(life))
	if err != nil {
		return blob.Signed{}, fmt.Errorf("sign part %d of blob %s: %w", part.Number, name, err)
	}
	out := blob.Signed{URL: signed.URL, Headers: map[string]string{}}
	for header, values := range signed.SignedHeader {
		switch header = http.CanonicalHeaderKey(header); header {
		case "Host", "Content-Length": // the client's library says them
		default:
			out.Headers[strings.ToLower(header)] = strings.Join(values, ",")
		}
	}
	return out, nil
}

// FinishDirect completes the upload with the very parts that were checked: a part that comes again meanwhile
// makes the server refuse that, and then all is looked at once more.
func (s *Store) FinishDirect(ctx context.Context, name, token string,
	check func(blob.Parts) error) (blob.Info, error) {
	var refused error
	info, err := s.finishPieces(ctx, name, token, func(f *finding) error {
		refused = check(f.shown())
		return refused
	})
	switch {
	case err == nil:
		return info, nil
	case refused != nil && errors.Is(err, refused):
		return blob.Info{}, refused
	}
	return blob.Info{}, fmt.Errorf("finish blob %s: %w", name, pieceError(ctx, err))
}

// SignRead signs what the answer is to say of itself with the request.
func (s *Store) SignRead(ctx context.Context, name string, as blob.ReadAs,
	life time.Duration) (string, error) {
	if err := blob.CheckName(name); err != nil {
		return "", err
	}
	signed, err := s.signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket,
		Key: aws.String(s.key(name)), ResponseContentType: &as.ContentType,
		ResponseContentDisposition: &as.Disposition,
		ResponseCacheControl:       aws.String("private, no-cache")}, s3.WithPresignExpires(life))
	if err != nil {
		return "", fmt.Errorf("sign a read of blob %s: %w", name, err)
	}
	return signed.URL, nil
}
