package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
)

// sniffLen is how much http.DetectContentType looks at.
const sniffLen = 512

// A Digest works out the Info of the bytes written to it. Make it with NewDigest.
type Digest struct {
	sum  hash.Hash
	head []byte
	size int64
}

// NewDigest returns a Digest of nothing so far.
func NewDigest() *Digest { return &Digest{sum: sha256.New()} }

// Write never fails.
func (d *Digest) Write(p []byte) (int, error) {
	if n := sniffLen - len(d.head); n > 0 {
		d.head = append(d.head, p[:min(n, len(p))]...)
	}
	d.size += int64(len(p))
	return d.sum.Write(p)
}

// Info describes what was written so far. The content type is found as browsers
// find it (mimesniff.spec.whatwg.org).
func (d *Digest) Info() Info {
	return Info{
		Size:        d.size,
		SHA256:      hex.EncodeToString(d.sum.Sum(nil)),
		ContentType: http.DetectContentType(d.head),
	}
}
