package bucket

import (
	"net"
	"time"
)

// Silence is how long a connection may carry nothing.
const Silence = silence

// SetPageSize makes lists short.
func (s *Store) SetPageSize(n int32) { s.pageSize = n }

// Sliding wraps a connection as the client does.
func Sliding(conn net.Conn, d time.Duration) net.Conn { return &slidingConn{conn, d} }
