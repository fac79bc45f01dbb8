package isolate

import "time"

// pollEvery is how often the memory of a child at work is looked at, and
// treeEvery how often that of its descendants.
const (
	pollEvery = 25 * time.Millisecond
	treeEvery = 500 * time.Millisecond
)
