package webhook

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"longshore/internal/jobstore"
)

// A class is what is known of a receiver. Each has limits of its own, so that
// nobody who is slow, or may be, holds up who has answered quickly.
type class int

const (
	fresh class = iota // nothing is known of it
	quick              // it has answered lately, and at once
	heavy              // it has answered lately, and let us wait
	slow               // it has let us wait lately for nothing
	classes
)

// A place is where an attempt counts: at its receiver (host and port), at the
// domain that somebody has registered, at an address, and in its class.
type place int

const (
	atReceiver place = iota
	atDomain
	atAddress
	atClass
)

// limits are the attempts at once. Whoever has many names, ports or addresses has
// one domain or address still, and who has many of all is still a stranger:
// at least half of all attempts are kept for those who answer quickly.
var limits = [classes][4]int{
	fresh: {1, 1, 1, 320},
	quick: {perHost, perHost, 4 * perHost, 512},
	heavy: {perHost, perHost, perHost, 128},
	slow:  {1, 1, 1, 64},
}

// waits are the claims that wait here for such a place, in all.
var waits = [classes]int{fresh: 128, quick: 256, heavy: 64}

// Limits of one receiver's line.
const (
	perHost    = 8               // attempts at once
	maxWaiting = 32              // claims that wait here for one of those
	soonest    = time.Second     // … if they would be begun within this
	farthest   = 5 * time.Minute // a claim that finds a crowd is given back for at most this
	closest    = lookEvery       // … and at least this
)

// What is remembered of receivers.
const (
	quickAnswer = 2 * time.Second
	lately      = time.Hour        // for this long of those who answered
	forgiven    = 10 * time.Minute // … of those who let us wait
	maxKnown    = 10_000           // receivers
)

// A task is a claim that this process holds.
type task struct {
	claim jobstore.CallbackClaim
	at    time.Time // when it was asked for: its lease counts from then, at the least
	to    string    // the receiver, host:port

	class     class        // under which it runs
	addresses []netip.Addr // at which it counts
	placed    []key        // where it counts
}

type key struct {
	class class
	place place
	name  string
}

// A gate counts the attempts at one place.
type gate struct {
	running int
	since   time.Time
	took    time.Duration // what an attempt takes, on a moving average; 0 = none has ended
	clear   time.Time     // when all would be done that ever came or found a crowd
}

// pace is what an attempt seems to take.
func (g *gate) pace(now time.Time) time.Duration {
	if g.took == 0 {
		return now.Sub(g.since) // as long as this at least
	}
	return g.took
}

// known is what is remembered of a receiver.
type known struct {
	class     class
	until     time.Time
	addresses []netip.Addr
}

// lines are the receivers that have anything to do.
type lines struct {
	gates   map[key]*gate
	waiting map[string][]*task // by receiver
	waits   [classes]int
	known   map[string]known
}

func newLines() lines {
	return lines{gates: map[key]*gate{}, waiting: map[string][]*task{}, known: map[string]known{}}
}

// classOf is what is known of a receiver by now.
func (l *lines) classOf(to string, now time.Time) class {
	if k := l.known[to]; now.Before(k.until) {
		return k.class
	}
	return fresh
}

// domainOf is the domain that somebody has registered, "" for an address.
func domainOf(to string) string {
	host := to[:max(0, strings.LastIndexByte(to, ':'))]
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host // a single label, or a suffix itself
}

// network is what one owner has of addresses at least: of IPv6 a /64.
func network(a netip.Addr) string {
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64)
		return p.String()
	}
	return a.String()
}

func (t *task) keys() []key {
	list := []key{{t.class, atReceiver, t.to}, {t.class, atClass, ""}}
	if domain := domainOf(t.to); domain != "" {
		list = append(list, key{t.class, atDomain, domain})
	}
	for _, a := range t.addresses {
		if k := (key{t.class, atAddress, network(a)}); !slices.Contains(list, k) {
			list = append(list, k)
		}
	}
	return list
}

// enter counts a task at more places, at all of them or none: then full is one
// that has no room.
func (l *lines) enter(t *task, keys []key, now time.Time) (full *key) {
	for i, k := range keys {
		if g := l.gates[k]; g != nil && g.running >= limits[k.class][k.place] {
			return &keys[i]
		}
	}
	for _, k := range keys {
		g := l.gates[k]
		if g == nil {
			g = &gate{since: now}
			l.gates[k] = g
		}
		g.running++
		g.queue(k, now)
	}
	t.placed = append(t.placed, keys...)
	return nil
}

// queue says that one more has come, or will come again.
func (g *gate) queue(k key, now time.Time) {
	if g.clear.Before(now) {
		g.clear = now
	}
	g.clear = g.clear.Add(g.pace(now) / time.Duration(limits[k.class][k.place]))
}

// leave ends counting a task at places. took is how long its attempt was; 0 = it
// was none.
func (l *lines) leave(t *task, keys []key, took time.Duration) {
	for _, k := range keys {
		g := l.gates[k]
		if took > 0 {
			if g.took == 0 {
				g.took = took
			}
			g.took = max(1, (3*g.took+took)/4)
		}
		if g.running--; g.running == 0 && k.place != atClass {
			delete(l.gates, k)
		}
	}
	t.placed = slices.DeleteFunc(t.placed, func(k key) bool { return slices.Contains(keys, k) })
}

// crowded is how long a task should stay away that found no room: until those before
// it are done, as far as one can tell.
func (l *lines) crowded(k *key, now time.Time) time.Duration {
	g := l.gates[*k]
	g.queue(*k, now)
	return min(max(g.clear.Sub(now), closest), farthest)
}

// What becomes of a task that comes to a line.
type fate int

const (
	begin fate = iota // now
	wait              // here, next will hand it out
	crowd             // not here: it is to be given back, for so long
)

// join finds a place for a task.
func (l *lines) join(t *task) (fate, time.Duration) {
	now := t.at
	t.class = l.classOf(t.to, now)
	t.addresses = l.known[t.to].addresses
	if a, err := netip.ParseAddr(t.to[:max(0, strings.LastIndexByte(t.to, ':'))]); err == nil {
		t.addresses = []netip.Addr{a}
	}
	full := l.enter(t, t.keys(), now)
	if full == nil {
		return begin, 0
	}
	// Only behind its like: what waits for others may wait for long.
	line, g := l.waiting[t.to], l.gates[*full]
	most := min(maxWaiting, int(time.Duration(limits[t.class][full.place])*soonest/max(g.pace(now), 1)))
	if full.place == atReceiver && len(line) < most && l.waits[t.class] < waits[t.class] {
		l.waiting[t.to] = append(line, t)
		l.waits[t.class]++
		g.queue(*full, now)
		return wait, 0
	}
	return crowd, l.crowded(full, now)
}

// found moves a task to the addresses that its name has now; ok is false if
// there is a crowd: then it is to be given back for so long.
func (l *lines) found(t *task, addresses []netip.Addr) (ok bool, away time.Duration) {
	now := time.Now()
	l.learn(t.to, func(k *known) { k.addresses = addresses })
	before := slices.Clone(t.placed)
	t.addresses = addresses
	keys := t.keys()
	more := slices.DeleteFunc(slices.Clone(keys), func(k key) bool { return slices.Contains(before, k) })
	if full := l.enter(t, more, now); full != nil {
		return false, l.crowded(full, now)
	}
	l.leave(t, slices.DeleteFunc(before, func(k key) bool { return slices.Contains(keys, k) }), 0)
	return true, 0
}

// learn notes something about a receiver. Of too many one is forgotten, who has
// not answered if one is at hand.
func (l *lines) learn(to string, f func(*known)) {
	k, there := l.known[to]
	if !there && len(l.known) >= maxKnown {
		var victim string
		looked := 0
		for some, k := range l.known {
			victim = some
			if looked++; k.class != quick || looked == 16 {
				break
			}
		}
		delete(l.known, victim)
	}
	f(&k)
	l.known[to] = k
}

// judge notes how a receiver took an attempt.
func (l *lines) judge(t *task, answered bool, took time.Duration) {
	l.learn(t.to, func(k *known) {
		now := time.Now()
		switch {
		case answered && took <= quickAnswer:
			k.class, k.until = quick, now.Add(lately)
		case answered:
			k.class, k.until = heavy, now.Add(lately)
		case took > quickAnswer:
			k.class, k.until = slow, now.Add(forgiven)
		default: // refused at once: that costs nobody any time
			if k.class == quick {
				k.class = fresh
			}
		}
	})
}

// next ends a task's attempt and hands out those of its line that may begin
// now. Where none of the line runs any more, the rest is given back.
func (l *lines) next(t *task, took time.Duration) (begun []*task, crowded []jobstore.CallbackSettlement) {
	now := time.Now()
	l.leave(t, slices.Clone(t.placed), took)
	line := l.waiting[t.to]
	for len(line) > 0 {
		n := line[0]
		was := n.class
		n.class = l.classOf(n.to, now)
		n.addresses = t.addresses
		full := l.enter(n, n.keys(), now)
		if full != nil && n.class != slow && l.running(n) {
			n.class = was // it is counted among those that wait under this one
			break
		}
		line, l.waits[was] = line[1:], l.waits[was]-1
		if full != nil {
			crowded = append(crowded, released(n.claim, jittered(l.crowded(full, now))))
			continue
		}
		begun = append(begun, n)
	}
	if len(line) == 0 {
		delete(l.waiting, t.to)
	} else {
		l.waiting[t.to] = line
	}
	return begun, crowded
}

// running reports whether an attempt of the task's receiver runs, whose end
// will ask for the next.
func (l *lines) running(t *task) bool {
	for c := range classes {
		if g := l.gates[key{c, atReceiver, t.to}]; g != nil && g.running > 0 {
			return true
		}
	}
	return false
}

// clear takes out all that wait, to be given back.
func (l *lines) clear() (list []jobstore.CallbackSettlement) {
	for _, line := range l.waiting {
		for _, t := range line {
			list = append(list, released(t.claim, 0))
		}
	}
	clear(l.waiting)
	l.waits = [classes]int{}
	return list
}
