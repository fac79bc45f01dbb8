package access

import (
	"net/netip"
	"sync"
	"time"
)

// How many wrong tokens an address may send: some at once, then one in a while.
const (
	burst   = 20
	refill  = 3 * time.Second
	logPace = time.Minute // between two lines about one address

	// maxAddresses bounds the memory. Those beyond share one account.
	maxAddresses = 10_000
)

// Failures counts wrong tokens by the address that sent them. It says nothing about
// right ones: whoever has the token is let in whatever others at the same address,
// that of a proxy or of a whole office, have tried. So it does not make guessing hopeless,
// the length of the token does; it makes it seen, and cheap to bear.
// The zero value is ready for use.
type Failures struct {
	mu     sync.Mutex
	of     map[netip.Addr]*account
	others account
	swept  time.Time
}

// An account is what one address has sent.
type account struct {
	paid   time.Time // by when what was sent is made up for: at most burst × refill ahead
	logged time.Time
	untold int // since logged
}

// A Failure is what to do about one wrong token.
type Failure struct {
	Wait time.Duration // over 0: there were too many; come back after this
	Tell int           // over 0: a line for the log is due, about so many
}

// Note counts one more.
func (f *Failures) Note(from netip.Addr, now time.Time) Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.account(from, now)
	if a.paid.Before(now) {
		a.paid = now
	}
	var v Failure
	a.untold++
	if ahead := a.paid.Sub(now); ahead > (burst-1)*refill {
		v.Wait = ahead - (burst-1)*refill
	} else {
		a.paid = a.paid.Add(refill)
	}
	if now.Sub(a.logged) >= logPace {
		v.Tell, a.untold, a.logged = a.untold, 0, now
	}
	return v
}

func (f *Failures) account(from netip.Addr, now time.Time) *account {
	if a := f.of[from]; a != nil {
		return a
	}
	if len(f.of) >= maxAddresses && now.Sub(f.swept) > time.Second {
		f.swept = now
		for address, a := range f.of {
			if a.paid.Before(now) && now.Sub(a.logged) >= logPace {
				delete(f.of, address)
			}
		}
	}
	if len(f.of) >= maxAddresses {
		return &f.others
	}
	if f.of == nil {
		f.of = map[netip.Addr]*account{}
	}
	a := &account{}
	f.of[from] = a
	return a
}
