//go:build !linux && !darwin

package isolate

// maxrssUnit is what getrusage(2) counts in, in bytes.
const maxrssUnit = 1 << 10
