package httpapi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"longshore/job"
)

// ErrRevs says that a text is no list of jobs to wait for.
var ErrRevs = fmt.Errorf("expected up to %d jobs as id.rev, separated by commas", MaxIDs)

// ParseRevs reads the jobs of a long-poll for many, "A.3,B.0": each an id and
// the revision known so far; without one it is 0. Of a job named twice the
// first counts.
func ParseRevs(text string) ([]job.Rev, error) {
	if text == "" || strings.Count(text, ",") >= MaxIDs {
		return nil, ErrRevs
	}
	var revs []job.Rev
	seen := map[job.ID]bool{}
	for item := range strings.SplitSeq(text, ",") {
		name, number, dotted := strings.Cut(item, ".")
		id, err := job.ParseID(name)
		if err != nil {
			return nil, errors.Join(ErrRevs, err)
		}
		var rev int64
		if dotted {
			if rev, err = strconv.ParseInt(number, 10, 64); err != nil || rev < 0 {
				return nil, ErrRevs
			}
		}
		if !seen[id] {
			seen[id] = true
			revs = append(revs, job.Rev{ID: id, Rev: rev})
		}
	}
	return revs, nil
}

// FormatRevs writes a list as ParseRevs reads it.
func FormatRevs(revs []job.Rev) string {
	items := make([]string, len(revs))
	for i, r := range revs {
		items[i] = string(r.ID) + "." + strconv.FormatInt(r.Rev, 10)
	}
	return strings.Join(items, ",")
}
