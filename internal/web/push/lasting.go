package push

import (
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
)

// An expiring is the data of event "expiring": who follows by a page's token opens the
// stream anew with another one, from where he is.
type expiring struct {
	At time.Time `json:"at"` // the token's end
}

// An unauthorized is the data of event "unauthorized", the last one of its stream.
type unauthorized struct {
	Code httpapi.Code `json:"code"`
}

// expiringBefore is how long before its credential's end a client is told to renew it, but
// at half of what is left where that is less.
const expiringBefore = 30 * time.Second

// A lasting tells a stream or a socket how its client's credential comes to its end.
type lasting struct {
	held     access.Held
	ended    chan struct{} // has a token once there is none any more
	expiring *time.Timer   // nil: nobody is told
}

// last begins to watch a principal; end ends it.
func last(who *access.Principal) *lasting {
	l := &lasting{ended: make(chan struct{}, 1)}
	who.Hold(&l.held, func(error) {
		select {
		case l.ended <- struct{}{}:
		default: // it knows
		}
	})
	if who.Grant != nil {
		left := time.Until(who.Expires)
		l.expiring = time.NewTimer(left - min(expiringBefore, left/2))
	}
	return l
}

// soon has a message when the credential ends soon.
func (l *lasting) soon() <-chan time.Time {
	if l.expiring == nil {
		return nil
	}
	return l.expiring.C
}

func (l *lasting) end() {
	l.held.Let()
	if l.expiring != nil {
		l.expiring.Stop()
	}
}
