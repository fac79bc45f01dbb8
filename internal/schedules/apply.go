package schedules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/internal/strictjson"
	"longshore/job"
)

// A list is what a source says: POST /v1/schedules.
type list struct {
	source string
	prune  bool
	names  []string
	of     map[string]*definition
}

// readList reads it. All that is wrong is told at once, with the place in the list.
func (r *Room) readList(by Asker, text []byte, now time.Time) (*list, error) {
	l := &list{of: map[string]*definition{}}
	var wrong []httpapi.Pointer
	bad := func(pointer, detail string) {
		if len(wrong) < httpapi.MaxPointers {
			wrong = append(wrong, httpapi.Pointer{Pointer: pointer, Detail: detail})
		}
	}
	var items []json.RawMessage
	listed := false
	err := strictjson.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "source":
			if l.source, err = httpapi.TextOf(value); err == nil {
				err = httpapi.CheckName(l.source)
			}
			if err != nil {
				bad("/source", err.Error())
			}
		case "prune":
			if l.prune = string(value) == "true"; !l.prune && string(value) != "false" {
				bad("/prune", "expected true or false")
			}
		case "schedules":
			if listed = true; value[0] != '[' {
				bad("/schedules", "expected a list")
				return nil
			}
			return json.Unmarshal(value, &items) // it was checked
		default:
			bad("/"+string(name[:min(len(name), 64)]), "unknown field")
		}
		return nil
	})
	if err != nil {
		return nil, httpapi.NewError(httpapi.Invalid, err.Error()).WithStatus(400)
	}
	if l.source == "" && wrong == nil {
		bad("/source", "expected the name of the list")
	}
	if !listed {
		bad("/schedules", "expected a list; an empty one, if there are to be none")
	}
	for i, item := range items {
		at := fmt.Sprintf("/schedules/%d", i)
		d, name, err := read(item, true, now)
		if err == nil && l.of[name] != nil {
			err = httpapi.InvalidAt("/name", "stands there twice: "+name)
		}
		if err == nil {
			err = r.permit(by, d)
		}
		if err != nil {
			if e := httpapi.AsError(err); e.Code != httpapi.Invalid {
				return nil, err
			} else if e.Errors == nil {
				bad(at, e.Detail)
			} else {
				for _, p := range e.Errors {
					bad(at+p.Pointer, p.Detail)
				}
			}
			continue
		}
		l.names, l.of[name] = append(l.names, name), d
	}
	if wrong != nil {
		return nil, httpapi.NotValid(wrong...)
	}
	return l, nil
}

// Apply makes the schedules of a source what its list says: those that are in it are made or
// changed; what came with an earlier list is removed, if the list says so, or marked. A list that is wrong
// anywhere
// changes nothing; a repeat goes on where one was cut.
func (r *Room) Apply(ctx context.Context, by Asker, text []byte) (answer.ScheduleApplied, error) {
	done := answer.ScheduleApplied{Created: []string{}, Changed: []string{}, Unchanged: []string{},
		Removed: []string{},
		Left:    []string{}}
	now, err := r.Store.Clock(ctx)
	if err != nil {
		return done, refusal.Of(err)
	}
	l, err := r.readList(by, text, now)
	if err != nil {
		return done, err
	}
	for _, name := range l.names {
		was, err := r.put(ctx, by, name, l.of[name], l.source)
		if err != nil {
			return done, err
		}
		to := map[string]*[]string{created: &done.Created, changed: &done.Changed,
			unchanged: &done.Unchanged}[was]
		*to = append(*to, name)
	}
	all, err := r.Store.Schedules(ctx, by.Tenant)
	if err != nil {
		return done, refusal.Of(err)
	}
	for i := range all {
		s := &all[i]
		if s.Fields["source"] != l.source || !by.sees(s) || slices.Contains(l.names, s.Name) {
			continue
		}
		if err := r.leave(ctx, by, s, l, &done); err != nil {
			return done, err
		}
	}
	return done, nil
}

// leave removes or marks one that its source has no more.
func (r *Room) leave(ctx context.Context, by Asker, s *jobstore.Schedule, l *list,
	done *answer.ScheduleApplied) error {
	if l.prune {
		err := r.Store.RemoveSchedule(ctx, s.Tenant, s.Name)
		if err != nil && !errors.Is(err, job.ErrNotFound) {
			return refusal.Of(err)
		}
		done.Removed = append(done.Removed, s.Name)
		return nil
	}
	done.Left = append(done.Left, s.Name)
	return r.change(ctx, by, s.Name, func(old *jobstore.Schedule, _ time.Time) (*jobstore.ScheduleChange,
		error) {
		if old.Fields["source"] != l.source || old.Fields["orphan"] != "" {
			return nil, nil
		}
		due, err := r.Store.ScheduleDue(ctx, old)
		return &jobstore.ScheduleChange{Due: due, Set: map[string]string{"orphan": "1"}}, err
	})
}
