package blob

import (
	"context"
	"time"
)

// A Direct is a Pieces to which clients can bring the pieces themselves, and from which they can fetch a
// blob, by addresses that it signs. Whoever has such an address may use it until it ends, and for nothing
// else.
type Direct interface {
	Pieces
	// BeginDirect is Begin of a partial blob whose parts come by signed addresses, each of them whole, in any
	// order. summed: each with its SHA-256, by which the store refuses other bytes.
	BeginDirect(ctx context.Context, name string, size int64, summed bool) (token string, err error)
	// Parts returns what is there. ErrNotFound: neither such a partial blob nor one that was made from it.
	Parts(ctx context.Context, name, token string) (Parts, error)
	// SignPart returns where one part is to be sent by PUT, and with which headers beside Content-Length,
	// which the client's HTTP library sets. Another length or another sum than the part's is refused
	// there.
	SignPart(ctx context.Context, name string, p Parts, part Part, life time.Duration) (Signed, error)
	// FinishDirect is FinishPieces of what Parts shows, unless check refuses that: then nothing is made,
	// and the error is check's. What was made before is not checked again.
	FinishDirect(ctx context.Context, name, token string, check func(Parts) error) (Info, error)
	// SignRead returns where a blob is to be had by GET.
	SignRead(ctx context.Context, name string, as ReadAs, life time.Duration) (address string, err error)
}

// Parts are what is there of a partial blob whose parts come by signed addresses.
type Parts struct {
	Upload   string // the store's own name for it
	Size     int64  // bytes, of the whole
	PartSize int64  // bytes, of each part but the last
	Summed   bool
	Made     bool   // it is a blob already
	There    []Part // by number; those of a wrong length too
}

// A Part is one of them.
type Part struct {
	Number int // 1 is the first
	Size   int64
	SHA256 []byte // 32 bytes; nil: the store doesn't know
}

// Signed is where a part is to be sent.
type Signed struct {
	URL     string
	Headers map[string]string
}

// ReadAs is what the answer to a signed read says of the blob.
type ReadAs struct{ ContentType, Disposition string }

// Count is how many parts there are when all are there.
func (p *Parts) Count() int {
	if p.PartSize <= 0 {
		return 0
	}
	return int((p.Size + p.PartSize - 1) / p.PartSize)
}

// Right reports whether a part is one of these, and as long as it has to be.
func (p *Parts) Right(part Part) bool {
	return part.Number <= p.Count() && part.Size == p.Length(part.Number)
}

// Length is how many bytes a part has to have.
func (p *Parts) Length(number int) int64 {
	return min(p.PartSize, p.Size-int64(number-1)*p.PartSize)
}
