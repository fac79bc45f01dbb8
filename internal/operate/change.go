package operate

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/job"
)

// parseChange reads what many jobs are to have otherwise; nil is nothing.
func parseChange(said *answer.BulkChange) (c jobstore.Change, err error) {
	switch {
	case said == nil:
		return c, nil
	case said.RunAt == "" && said.Priority == "" && said.Queue == "":
		return c, httpapi.InvalidAt("/change", "expected run_at, priority or queue")
	}
	if said.RunAt != "" {
		var at time.Time
		if at.UnmarshalText([]byte(said.RunAt)) != nil || at.After(time.Now().Add(366*24*time.Hour)) {
			return c, httpapi.InvalidAt("/change/run_at", "expected a time as 2006-01-02T15:04:05Z, within a year")
		}
		c.RunAt = &at
	}
	c.Priority = job.Priority(said.Priority)
	if c.Priority != "" && !slices.Contains(job.Priorities, c.Priority) {
		return c, httpapi.InvalidAt("/change/priority", "expected "+job.PriorityNames())
	}
	if c.Queue = said.Queue; c.Queue != "" && !job.IsQueue(c.Queue) {
		return c, httpapi.InvalidAt("/change/queue", "expected "+job.QueueNames)
	}
	return c, nil
}

// changed reads a line of a story: what was changed, for people, and by whom.
func changed(about string) (what, by string) {
	what, by, _ = strings.Cut(about, " ")
	var told []string
	for part := range strings.SplitSeq(what, ",") {
		name, value, _ := strings.Cut(part, "=")
		ms, err := strconv.ParseInt(value, 10, 64)
		switch {
		case value == "":
		case err != nil || name == "max_attempts" || name == "queue":
			name += " " + value
		case !strings.HasSuffix(name, "_at"):
			name += " " + httpapi.FormatDuration(time.Duration(ms)*time.Millisecond)
		case ms > 0:
			name += " " + time.UnixMilli(ms).UTC().Format(time.RFC3339)
		case name == "run_at":
			name += " now"
		default:
			name += " never"
		}
		told = append(told, name)
	}
	return strings.Join(told, ", "), by
}
