package cli

import (
	"errors"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
)

// overdue is how late a tick is of which nobody takes care.
const overdue = time.Minute

// Schedules looks at what makes jobs by the clock, where there is any.
func (d *Doctor) Schedules(list []client.Schedule, err error, now time.Time) {
	var refused *client.Error
	switch {
	case errors.As(err, &refused) && (refused.Code == httpapi.NotFound || refused.Code == httpapi.Forbidden):
		return // an older server, or a key that may not see them
	case err != nil:
		d.Warn("schedules", "", "they can't be seen: %v", err)
		return
	}
	wrong := 0
	for i := range list {
		s := &list[i]
		switch {
		case s.Problem != nil:
			wrong++
			d.Warn("schedules", "put the schedule right, or start a worker that serves its type",
				"%s makes no jobs since %s: %s", s.Name, clock(s.Problem.Since)[:19], s.Problem.Detail)
		case len(s.Next) > 0 && now.Sub(s.Next[0]) > overdue+jitterOf(s):
			wrong++
			d.Warn("schedules", "start a web process: these make the ticks",
				"the tick of %s at %s was not made", s.Name,
				clock(s.Next[0])[:19])
		case s.NotInSource:
			wrong++
			d.Warn("schedules", "enqueue schedules rm "+s.Name+", or apply its list with --prune",
				"%s is not in %s any more, and goes on", s.Name, s.Source)
		}
	}
	if len(list) > 0 && wrong == 0 {
		d.OK("schedules", "%d, and none is late", len(list))
	}
}

func jitterOf(s *client.Schedule) time.Duration {
	d, _ := httpapi.ParseDuration(s.Jitter) // "" = none
	return d
}
