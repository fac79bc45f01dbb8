package job

import "time"

// An After is a job that has to end before another one may begin.
type After struct {
	ID ID `json:"id"`
	// State is the one in which it ended, or AfterGone; "" while it is open.
	State State `json:"state,omitempty" enum:"succeeded,failed,canceled,expired,gone" doc:"how it ended; absent while it is open, gone where its record went first"`
}

// AfterGone says that a job's record went before its end was heard of.
const AfterGone State = "gone"

// A Hold is why a job waits until somebody releases it.
type Hold struct {
	Why        string     `json:"why"`
	ReleasedAt *time.Time `json:"released_at,omitempty"` // nil = not yet
	ReleasedBy string     `json:"released_by,omitempty" doc:"who released it; absent where nobody said"`
}

// Held tells that a job waits for its release.
func (s *Snapshot) Held() bool { return s.Hold != nil && s.Hold.ReleasedAt == nil && !s.Done }

// OpenOf are those that are open.
func OpenOf(all []After) (ids []ID) {
	for _, one := range all {
		if one.State == "" {
			ids = append(ids, one.ID)
		}
	}
	return ids
}

// Culprit says which of the jobs that one is after is why it can't run; "" of none.
func Culprit(all []After) string {
	for _, one := range all {
		switch one.State {
		case "", Succeeded:
		case AfterGone:
			return "the record of job " + string(one.ID) + " was gone before its end was heard of"
		default:
			return "job " + string(one.ID) + " has ended " + string(one.State)
		}
	}
	return ""
}
