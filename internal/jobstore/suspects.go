package jobstore

import (
	"sync"
	"time"
)

// Young is how long a run must live to be no reason to suspect its job.
const Young = youngMS * time.Millisecond

// SuspectLosses is how many young runs in a row were lost of a job that is a suspect.
const SuspectLosses = suspectLosses

// Suspects shares one process's slots among jobs that lost young runs before:
// any of them may be what ends its workers. The more a job lost, the fewer
// others run beside it: half of the slots, an eighth, then it is alone. Jobs
// that were lost together, as with a machine, so run again together; and a
// guilty one has nobody beside it that it could take along to its last loss.
// It is safe for concurrent use.
type Suspects struct {
	mu    sync.Mutex
	slots int
	used  int
}

// NewSuspects returns the suspects of a process with this many slots.
func NewSuspects(slots int) *Suspects { return &Suspects{slots: max(1, slots)} }

// share is how many slots a job with these losses counts for.
func (s *Suspects) share(losses int) int {
	switch {
	case losses < suspectLosses:
		return 0
	case losses == suspectLosses:
		return min(2, s.slots)
	case losses == suspectLosses+1:
		return min(8, s.slots)
	}
	return s.slots
}

// Most is how many losses a job may have that is started now; 0 = it must be no suspect.
func (s *Suspects) Most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for losses := poisonLosses; losses >= suspectLosses; losses-- {
		if s.used+s.share(losses) <= s.slots {
			return losses
		}
	}
	return 0
}

// Add counts a job that was started with these losses, until leave is called,
// which may be called twice.
func (s *Suspects) Add(losses int) (leave func()) {
	n := s.share(losses)
	s.mu.Lock()
	s.used += n
	s.mu.Unlock()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.used -= n
		s.mu.Unlock()
	})
}
