package queue

import (
	"errors"
	"fmt"

	"longshore/job"
)

// ErrBadTicket says that a ticket can't be one of ours. asynq would take a bad
// queue name in silence, and a brace in a name would move its keys to another
// slot, so both are refused before asynq sees them.
var ErrBadTicket = errors.New("bad ticket")

func check(t job.Ticket) error {
	if _, err := job.ParseID(string(t.ID)); err != nil {
		return fmt.Errorf("%w: %w", ErrBadTicket, err)
	}
	if t.Delivery < 1 || weight(t.Priority) == 0 || (t.Lane != job.LaneIO && t.Lane != job.LaneCPU) {
		return fmt.Errorf("%w: delivery %d, lane %q, priority %q", ErrBadTicket, t.Delivery, t.Lane, t.Priority)
	}
	return nil
}

// weight is a priority's share of a busy lane; 0 for an unknown one.
func weight(p job.Priority) int {
	switch p {
	case job.High:
		return 6
	case job.Default:
		return 3
	case job.Low:
		return 1
	default:
		return 0
	}
}
