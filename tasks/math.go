package tasks

import "longshore/job"

// Primes is the payload of math.primes.
type Primes struct {
	N int64 `json:"n" doc:"count the primes up to and including n" minimum:"0" maximum:"100000000000"`
}

// MathPrimes counts primes: a CPU burner whose answer anyone can check.
var MathPrimes = Definition[Primes]{
	Type: "math.primes", Doc: "The number of primes up to n, by a segmented sieve.",
	Lane: job.LaneCPU,
}
