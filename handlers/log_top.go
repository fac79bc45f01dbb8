package handlers

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
)

// A counter counts how often keys occur, in bounded memory. Up to its bounds it
// is exact. Beyond them it keeps the frequent keys, as Misra and Gries do
// ("Finding repeated elements", 1982) in the batched form of Anderson et al. ("A
// High-Performance Algorithm for Identifying Frequent Items in Data Streams",
// 2017): when it is full, the median of the counts is taken off all of them and
// who has none left goes. A count is then too low by slack at most, and a key
// that occurred more often than slack is there.
//
// It is a hash table of its own: no pointers for the garbage collector to
// follow, all keys in one buffer, and its size known.
type counter struct {
	maxEntries int
	maxBytes   int
	slack      int64

	seed    maphash.Seed
	slots   []uint32 // index into entries plus 1, below a part of the hash; 0 is free; a power of two
	entries []counted
	keys    []byte // in the order of entries

	beforePurge func(*counter) // called once, before the first loss; may be nil
}

type counted struct {
	count int64
	hash  uint32
	start uint32 // in keys
	size  uint32
}

// indexBits of a slot hold the index, the others those bits of the hash: so the
// entry of another key is hardly ever looked at. They are enough for maxAddresses.
const indexBits = 18

// maxKey is where longer keys are cut; those that agree so far count as one.
const maxKey = 512

// newCounter returns a counter that is exact up to so many different keys with
// so many bytes in all.
func newCounter(maxEntries, maxBytes int) *counter {
	return &counter{maxEntries: maxEntries, maxBytes: max(maxBytes, maxKey),
		seed: maphash.MakeSeed(), slots: make([]uint32, 1024)}
}

// add counts a key.
func (c *counter) add(key []byte) {
	key = key[:min(len(key), maxKey)]
	hash := uint32(maphash.Bytes(c.seed, key))
	mask := uint32(len(c.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := c.slots[i]
		if slot == 0 {
			break
		}
		if (slot^hash)>>indexBits != 0 {
			continue
		}
		e := &c.entries[slot&(1<<indexBits-1)-1]
		if e.hash == hash && string(c.keys[e.start:e.start+e.size]) == string(key) {
			e.count++
			return
		}
	}
	c.insert(key, hash)
}

func (c *counter) insert(key []byte, hash uint32) {
	for len(c.entries) >= c.maxEntries || len(c.keys)+len(key) > c.maxBytes {
		if c.beforePurge != nil {
			c.beforePurge(c)
			c.beforePurge = nil
		}
		c.purge()
	}
	c.entries = append(c.entries, counted{1, hash, uint32(len(c.keys)), uint32(len(key))})
	c.keys = append(c.keys, key...)
	if 2*len(c.entries) > len(c.slots) {
		c.slots = make([]uint32, 2*len(c.slots))
		c.index()
		return
	}
	c.place(len(c.entries)-1, hash)
}

// index fills empty slots from the entries.
func (c *counter) index() {
	for i := range c.entries {
		c.place(i, c.entries[i].hash)
	}
}

func (c *counter) place(entry int, hash uint32) {
	mask := uint32(len(c.slots) - 1)
	i := hash & mask
	for c.slots[i] != 0 {
		i = (i + 1) & mask
	}
	c.slots[i] = hash>>indexBits<<indexBits | uint32(entry+1)
}

// purge makes room: about half of the keys go.
func (c *counter) purge() {
	off := c.median()
	c.slack += off
	kept, used := c.entries[:0], uint32(0)
	for _, e := range c.entries {
		if e.count -= off; e.count <= 0 {
			continue
		}
		copy(c.keys[used:], c.keys[e.start:e.start+e.size])
		e.start = used
		used += e.size
		kept = append(kept, e)
	}
	c.entries, c.keys = kept, c.keys[:used]
	clear(c.slots)
	c.index()
}

// median returns the median count of a sample spread over the entries.
func (c *counter) median() int64 {
	const sample = 1023
	stride := max(1, len(c.entries)/sample)
	var counts []int64
	for i := 0; i < len(c.entries); i += stride {
		counts = append(counts, c.entries[i].count)
	}
	slices.Sort(counts)
	return counts[len(counts)/2]
}

// key returns the key of an entry.
func (c *counter) key(e counted) []byte { return c.keys[e.start : e.start+e.size] }

// top returns the n most frequent entries, the most frequent first and equals
// by their keys.
func (c *counter) top(n int) []counted {
	best := make([]counted, 0, n+1)
	order := func(a, b counted) int {
		return cmp.Or(cmp.Compare(b.count, a.count), bytes.Compare(c.key(a), c.key(b)))
	}
	for _, e := range c.entries {
		if len(best) == n && order(best[n-1], e) < 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, e, order)
		best = slices.Insert(best, at, e)
		best = best[:min(n, len(best))]
	}
	return best
}
