package jobstore

import (
	"context"
	"time"

	"longshore/job"
)

// A Wait is since when a job could have run, by its creation and its time.
type Wait struct {
	Type  string
	Since time.Time // zero: not known
}

// Waits reads that of some jobs, in the order of ids. A job that is gone, damaged or waits no more
// has the zero Wait.
func (s *Store) Waits(ctx context.Context, ids []job.ID) ([]Wait, error) {
	cores, err := s.cores(ctx, ids)
	if err != nil {
		return nil, err
	}
	waits := make([]Wait, len(ids))
	for i, id := range ids {
		r, err := parseRecord(cores[i].text)
		if err != nil || r.state != job.Queued {
			continue
		}
		h, ok, err := s.readableHead(ctx, id, &r)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		waits[i] = Wait{Type: h.kind, Since: time.UnixMilli(max(r.created, r.runAt))}
	}
	return waits, nil
}

// Void tells of each ticket whether it can't bring a job to a worker any more:
// its job is gone, has ended, or has another ticket. A void one stays so. A record
// that can't be read, perhaps of a newer release, keeps its ticket.
func (s *Store) Void(ctx context.Context, tickets []job.Ticket) ([]bool, error) {
	ids := make([]job.ID, len(tickets))
	for i, t := range tickets {
		ids[i] = t.ID
	}
	cores, err := s.cores(ctx, ids)
	if err != nil {
		return nil, err
	}
	void := make([]bool, len(tickets))
	for i, t := range tickets {
		if !cores[i].there {
			void[i] = !cores[i].strange
			continue
		}
		if r, err := parseRecord(cores[i].text); err == nil {
			void[i] = r.state != job.Queued || r.delivery != t.Delivery
		}
	}
	return void, nil
}
