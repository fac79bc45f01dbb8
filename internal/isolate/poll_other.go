//go:build !linux

package isolate

import "time"

// pollEvery is how often the memory of a child at work is looked at, and
// treeEvery how often that of its descendants. Each look starts ps.
const (
	pollEvery = 500 * time.Millisecond
	treeEvery = 2 * time.Second
)
