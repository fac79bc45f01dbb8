package submit

import (
	"cmp"
	"slices"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
)

// How long replaces put a start off, where nothing is said.
const maxWait = time.Hour

// unique is what a request says of its being the only one. To replace what hasn't begun says until when.
func (r Request) unique() jobstore.Unique {
	u := jobstore.Unique{Key: r.UniqueKey, Until: cmp.Or(r.UniqueUntil, jobstore.UntilEnded),
		Else: cmp.Or(r.OnConflict, jobstore.ElseReturn), MaxWait: cmp.Or(r.MaxWait, maxWait)}
	if u.Else == jobstore.ElseReplace && r.UniqueUntil == "" {
		u.Until = jobstore.UntilStarted
	}
	return u
}

// checkUnique checks what a request says of its being the only one.
func checkUnique(n *jobstore.NewJob, r Request, bad func(pointer, detail string)) {
	u := n.Unique
	if u.Key == "" {
		for pointer, given := range map[string]bool{"/unique_until": r.UniqueUntil != "",
			"/on_conflict": r.OnConflict != "", "/max_wait": r.MaxWait != 0} {
			if given {
				bad(pointer, "is for a job with a unique_key")
			}
		}
		return
	}
	if len(u.Key) > httpapi.MaxUniqueKey {
		bad("/unique_key", "expected at most 256 bytes")
	}
	if r.ID != "" && !r.IDOfKey {
		bad("/unique_key", "draws the job's id: send one of the two")
	}
	if !slices.Contains([]string{jobstore.UntilStarted, jobstore.UntilEnded, jobstore.UntilRemoved},
		u.Until) {
		bad("/unique_until", "expected started, ended or removed")
	}
	replaces := u.Else == jobstore.ElseReplace
	switch {
	case !slices.Contains([]string{jobstore.ElseReturn, jobstore.ElseRefuse, jobstore.ElseReplace}, u.Else):
		bad("/on_conflict", "expected return, refuse or replace")
	case replaces && u.Until != jobstore.UntilStarted:
		bad("/unique_until", "a job that has begun can't be replaced: expected started")
	case replaces && r.hasInput():
		bad("/on_conflict", "a file can't be replaced")
	}
	switch {
	case r.MaxWait != 0 && !replaces:
		bad("/max_wait", "is for on_conflict=replace")
	case u.MaxWait < time.Second || u.MaxWait > maxAhead:
		bad("/max_wait", "expected a duration from 1s to 8784h")
	}
}
