package bucket

import (
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Silence is how long a connection may carry nothing.
const Silence = silence

// SetPageSize makes lists short.
func (s *Store) SetPageSize(n int32) { s.pageSize = n }

// TryOnce has no request sent again.
func (s *Store) TryOnce() {
	s.api = s3.New(s.api.Options(), func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
}

// PieceSize returns the size of the parts of a blob that comes in pieces.
func PieceSize(partSize, size int64) (int64, error) {
	return (&Store{partSize: partSize}).pieceSize(size)
}

// Sliding wraps a connection as the client does.
func Sliding(conn net.Conn, d time.Duration) net.Conn { return &slidingConn{conn, d} }
