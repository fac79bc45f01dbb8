package stream

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// algorithms are the digests there are. crc32 is the IEEE polynomial (as in
// gzip and zip), crc32c Castagnoli's (RFC 3720), xxh64 xxHash's 64-bit variant
// with seed 0.
var algorithms = map[string]func() hash.Hash{
	"sha256": sha256.New,
	"sha1":   sha1.New,
	"sha512": sha512.New,
	"md5":    md5.New,
	"crc32":  func() hash.Hash { return crc32.NewIEEE() },
	"crc32c": func() hash.Hash { return crc32.New(castagnoli) },
	"xxh64":  func() hash.Hash { return xxhash.New() },
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Digests computes several digests of what is written to it, in one pass. It is
// not safe for concurrent use.
type Digests struct {
	names  []string
	hashes []hash.Hash
	n      int64
}

// NewDigests returns Digests of the named algorithms: sha256, sha1, sha512,
// md5, crc32, crc32c, xxh64. A name given twice counts once.
func NewDigests(names ...string) (*Digests, error) {
	d := &Digests{}
	for _, name := range names {
		algorithm := algorithms[name]
		if algorithm == nil {
			return nil, fmt.Errorf("unknown digest algorithm %q", name)
		}
		if !slices.Contains(d.names, name) {
			d.names = append(d.names, name)
			d.hashes = append(d.hashes, algorithm())
		}
	}
	return d, nil
}

// worthSharing is the size of a write from which on it pays to hash in several
// goroutines: starting one costs about as much as hashing 1 KiB.
const worthSharing = 32 << 10

// Write hashes p, each algorithm on a core of its own if there are any free. It
// never fails.
func (d *Digests) Write(p []byte) (int, error) {
	d.n += int64(len(p))
	var others sync.WaitGroup
	for i, h := range d.hashes {
		if i == len(d.hashes)-1 || len(p) < worthSharing {
			h.Write(p)
			continue
		}
		others.Go(func() { h.Write(p) })
	}
	others.Wait()
	return len(p), nil
}

// N is the number of bytes written.
func (d *Digests) N() int64 { return d.n }

// Sums returns the digests in lower-case hex, by algorithm; the checksums and
// xxh64 have their most significant digit first.
func (d *Digests) Sums() map[string]string {
	sums := make(map[string]string, len(d.names))
	for i, name := range d.names {
		sums[name] = hex.EncodeToString(d.hashes[i].Sum(nil))
	}
	return sums
}
