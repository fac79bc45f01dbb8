package handlers

import (
	"context"
	"math"
	"math/bits"

	"longshore/tasks"
)

// primes is the handler of math.primes. Progress counts the numbers sieved.
func primes(ctx context.Context, run *Run, p tasks.Primes) (any, error) {
	run.Progress(0, p.N)
	count, err := countPrimes(ctx, p.N, func(done int64) { run.Progress(done, p.N) })
	if err != nil {
		return nil, err
	}
	return map[string]int64{"count": count}, nil
}

// The sieve works on segments of odd numbers, one bit each, that fit into a
// core's first-level cache: 32 KiB are 524,288 numbers, a good millisecond's
// work, which is also how soon a canceled run stops.
const (
	sieveWords = 32 << 10 / 8
	sieveBits  = sieveWords * 64
)

// countPrimes returns the number of primes up to and including n by a
// segmented sieve of Eratosthenes. It reports how far it has come, and ends
// with the context's cause.
func countPrimes(ctx context.Context, n int64, done func(int64)) (int64, error) {
	if n < 2 {
		return 0, nil
	}
	base := oddPrimes(int64(math.Sqrt(float64(n))) + 1)
	next := make([]int64, len(base)) // the bit, within the segment, of each prime's next multiple
	for i, p := range base {
		next[i] = (p*p - 1) / 2
	}
	var segment [sieveWords]uint64
	active := 0 // base[:active] have multiples in this segment
	count := int64(1)
	all := (n + 1) / 2 // odd numbers up to n: bit i is 2i+1
	for low := int64(0); low < all; low += sieveBits {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		for active < len(base) && next[active] < low+sieveBits {
			next[active] -= low
			active++
		}
		clear(segment[:])
		for i, p := range base[:active] {
			next[i] = cross(&segment, next[i], p)
		}
		if low == 0 {
			segment[0] |= 1 // 1 is not a prime
		}
		count += zeros(&segment, min(all-low, sieveBits))
		done(min(n, 2*(low+sieveBits)))
	}
	return count, nil
}

// cross sets every step-th bit from j on and returns the first one behind the
// segment, as a bit of the next one. A step between odd multiples of p is 2p
// in numbers, p in bits.
func cross(segment *[sieveWords]uint64, j, step int64) int64 {
	for ; j < sieveBits; j += step {
		segment[uint64(j)/64%sieveWords] |= 1 << (uint64(j) % 64)
	}
	return j - sieveBits
}

// zeros counts the bits that are not set among the first n.
func zeros(segment *[sieveWords]uint64, n int64) int64 {
	total := n
	for _, word := range segment[:n/64] {
		total -= int64(bits.OnesCount64(word))
	}
	if rest := n % 64; rest > 0 {
		total -= int64(bits.OnesCount64(segment[n/64] & (1<<rest - 1)))
	}
	return total
}

// oddPrimes returns the odd primes up to n, which is small here: at most the
// root of the largest n that tasks.Primes allows, 316,228.
func oddPrimes(n int64) []int64 {
	composite := make([]bool, n+1)
	var found []int64
	for p := int64(3); p <= n; p += 2 {
		if composite[p] {
			continue
		}
		found = append(found, p)
		for m := p * p; m <= n; m += 2 * p {
			composite[m] = true
		}
	}
	return found
}
