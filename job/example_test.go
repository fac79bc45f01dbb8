package job_test

import (
	"fmt"
	"time"

	"longshore/job"
)

// An id may be drawn before the job is submitted, so that it can be watched while its
// input is on the way. It tells when that was.
func Example() {
	id := job.NewID(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))
	parsed, err := job.ParseID(string(id))
	fmt.Println(parsed == id, err, parsed.Time().UTC().Format(time.DateTime))
	fmt.Println(job.MayMove(job.Queued, job.Running), job.Succeeded.Terminal(), job.Succeeded.Moves())
	// Output:
	// true <nil> 2026-05-04 12:00:00
	// true true []
}
