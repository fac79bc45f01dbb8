//go:build !amd64 && !arm64

package sandbox

// The filter's numbers are known for two architectures only.

func filters() bool { return false }

func filter(Policy) error { return nil }
