package bucket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"longshore/internal/blob"
)

// How long and how often a server that doesn't answer is asked.
const (
	dialTimeout = 10 * time.Second
	// silence is how long a connection may carry not one byte, in the middle of
	// a request or of an answer. Completing a large upload keeps some servers
	// quiet for a while.
	silence     = time.Minute
	maxAttempts = 4
	maxBackoff  = 2 * time.Second
)

// newClient returns the SDK's client and what it sends requests by.
func newClient(l Location, a Access) (*s3.Client, *http.Client) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &slidingConn{conn, silence}, nil
		},
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     silence / 2,
		DisableCompression:  true,
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      64 << 10,
	}
	client := &http.Client{Transport: transport}
	options := s3.Options{
		Region:       l.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(a.KeyID, a.SecretKey, a.SessionToken),
		UsePathStyle: l.PathStyle,
		HTTPClient:   client,
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff = maxAttempts, maxBackoff
		}),
		// Bodies are signed, so the server checks them anyway; the SDK's own
		// checksums are unknown to many servers that are not AWS.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		// A part is small: asking before sending it would cost more.
		ContinueHeaderThresholdBytes: -1,
	}
	if options.Region == "" {
		options.Region = "us-east-1"
	}
	if l.Endpoint != "" {
		options.BaseEndpoint = &l.Endpoint
	}
	return s3.New(options), client
}

// newSigner returns what signs requests that others make. They may reach the server by another address, which
// is signed too.
func newSigner(api *s3.Client, l Location) *s3.PresignClient {
	if l.Public == "" {
		return s3.NewPresignClient(api)
	}
	return s3.NewPresignClient(s3.New(api.Options(), func(o *s3.Options) { o.BaseEndpoint = &l.Public }))
}

// A slidingConn fails when it has carried nothing for a while, however long it
// works. A write puts off the deadline of a waiting read too: net/http reads
// ahead for the answer while it sends a body.
type slidingConn struct {
	net.Conn
	silence time.Duration
}

func (c *slidingConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *slidingConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// ErrSettings marks an error that other settings would mend, not time.
var ErrSettings = errors.New("settings of the bucket")

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

func status(err error) int {
	if e, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		return e.HTTPStatusCode()
	}
	return 0
}

// notFound reports whether the server says that there is no such object, which
// is not the same as no such bucket.
func notFound(err error) bool { return code(err) == "NoSuchKey" || code(err) == "NotFound" }

func noSuchUpload(err error) bool { return code(err) == "NoSuchUpload" }

// taken reports whether a conditional put found an object there, or another one
// on its way.
func taken(err error) bool {
	return status(err) == http.StatusPreconditionFailed || status(err) == http.StatusConflict
}

// storeError puts an error of a request into the words of package blob.
func storeError(ctx context.Context, err error) error {
	switch c := code(err); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, blob.ErrUnavailable), errors.Is(err, blob.ErrNoSpace):
		return err
	case notFound(err):
		return fmt.Errorf("%w: %w", blob.ErrNotFound, err)
	case c == "QuotaExceeded", c == "XMinioStorageFull", status(err) == http.StatusInsufficientStorage:
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	}
	return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
}

// startError says what an error at the start means for who has set it up.
func startError(ctx context.Context, err error) error {
	why := ""
	switch c := code(err); {
	case errors.Is(err, ErrSettings):
		return err
	case c == "NoSuchBucket":
		why = "there is no such bucket"
	case c == "InvalidAccessKeyId", c == "SignatureDoesNotMatch", c == "InvalidToken", c == "ExpiredToken":
		why = "the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are refused"
	case c == "AccessDenied", status(err) == http.StatusForbidden:
		why =
			"access is denied; it needs the rights ListBucket, GetObject, PutObject, DeleteObject, AbortMultipartUpload, ListMultipartUploadParts, ListBucketMultipartUploads"
	case c == "PermanentRedirect", c == "AuthorizationHeaderMalformed",
		c == "IllegalLocationConstraintException", status(err) >= 300 && status(err) < 400:
		why = "the bucket is in another region; set region="
	case c == "NotImplemented":
		why = "the server doesn't know conditional writes (If-None-Match)"
	case status(err) >= 400 && status(err) < 500 && status(err) != http.StatusTooManyRequests:
		why = "the server refuses"
	default:
		return storeError(ctx, err)
	}
	return fmt.Errorf("%w: %s (%s)", ErrSettings, why, code(err))
}
