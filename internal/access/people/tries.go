package people

import (
	"context"
	"time"

	"longshore/internal/access"
)

// How many tries are free, until each costs a wait.
const (
	freePair    = 5  // of one account from one address
	freeDevice  = 10 // of one account by a browser that it was logged in by
	freeAddress = 50 // from one address: an office has many people
	freeAccount = 30 // of one account by browsers that it was never logged in by
	freeCodes   = 5  // for the second proof of one login
	freeCodesOf = 10 // for the second proof of one person, whatever the logins
)

// begunOfOne is how many sessions one person begins: each is kept for days, and noted.
var begunOfOne = access.Rate{N: 30, Per: time.Hour, Burst: 30}

// What strangers may ask before they have proved anything: each such request keeps something in Redis
// for some minutes.
var (
	asksOfAddress = access.Rate{N: 60, Per: time.Minute, Burst: 60}
	asksOfAll     = access.Rate{N: 50, Per: time.Second, Burst: 1000}
)

// A counted is a try that was counted, by names.
type counted struct {
	own    string   // nobody else's tries count under it: a good one forgives those before
	shared []string // under these others' tries count too: a good one is taken back
}

// count counts a try. A browser that the account was logged in by counts for itself: nobody else
// can keep it out, not by tries from the same address either.
func (p *People) count(ctx context.Context, c Client, email string) (counted, error) {
	known, err := p.knows(ctx, c, email)
	if err != nil {
		return counted{}, err
	}
	var tried counted
	free := map[string]int{}
	if known {
		tried.own = "device:" + short(email+" "+c.Device)
		free[tried.own] = freeDevice
	} else {
		tried.own = "pair:" + short(email+" "+network(c.Address))
		tried.shared = []string{"address:" + short(network(c.Address)), "account:" + short(email)}
		free[tried.own], free[tried.shared[0]], free[tried.shared[1]] = freePair, freeAddress, freeAccount
	}
	wait, err := p.Store.Try(ctx, free)
	if err != nil {
		return counted{}, err
	}
	if wait > 0 {
		p.refused(c, nil, "login.wait")
		return counted{}, &WaitError{wait}
	}
	return tried, nil
}

// good takes back a try that was a good one.
func (p *People) good(ctx context.Context, tried counted) error {
	return first(p.Store.Forgive(ctx, tried.own), p.Store.Refund(ctx, tried.shared...))
}

// knows reports whether a browser was used to log in as who has an address.
func (p *People) knows(ctx context.Context, c Client, email string) (bool, error) {
	if c.Device == "" {
		return false, nil
	}
	user, err := p.Store.Trusted(ctx, c.Device)
	if err != nil || user == "" {
		return false, err
	}
	k, err := p.Store.UserByEmail(ctx, email)
	return err == nil && k.ID == user, nil
}

// mayBegin counts a session that a person begins, who has proved who it is: nobody else can, so
// nobody else can keep the person out. The error may be a *WaitError.
func (p *People) mayBegin(ctx context.Context, c Client, user string) error {
	spent, err := p.Store.Spend(ctx, "begin:"+user, begunOfOne, 1)
	if err != nil || spent.Taken > 0 {
		return err
	}
	p.refused(c, nil, "login.wait")
	return &WaitError{max(spent.Wait, time.Second)}
}

// mayAsk counts what a stranger has us keep: by the address, and that of all, where a browser that
// somebody has logged in by isn't kept out by strangers.
func (p *People) mayAsk(ctx context.Context, c Client) error {
	spent, err := p.Store.Spend(ctx, "ask:"+short(network(c.Address)), asksOfAddress, 1)
	if err != nil || spent.Taken == 0 {
		return first(err, waits(max(spent.Wait, time.Second)))
	}
	spent, err = p.Store.Spend(ctx, "ask", asksOfAll, 1)
	if err != nil || spent.Taken > 0 {
		return err
	}
	if c.Device != "" {
		if user, err := p.Store.Trusted(ctx, c.Device); err != nil || user != "" {
			return err
		}
	}
	return &WaitError{max(spent.Wait, time.Second)}
}
