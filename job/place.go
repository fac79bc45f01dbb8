package job

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// DefaultQueue is the queue of jobs that name none.
const DefaultQueue = "default"

// QueueNames says what the name of a queue is like, for people.
const QueueNames = "a letter or digit, then up to 31 more or dashes: [a-z0-9][a-z0-9-]{0,31}"

// TypeNames says what the name of a type is like, for people.
const TypeNames = "1 to 64 letters, digits, and _ . : - but for the first: [A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}"

// How long names are is asked for by itself: an expression that counts takes as much memory as it counts, in
// each program that starts.
var (
	queueName  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	typeName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:-]*$`)
	folderType = regexp.MustCompile(`^[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)+$`)
	tenantName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// IsType tells that a text may name a type. A name begins with no sign: in a path "." and ".." are folders,
// on a command line what begins with "-" is a flag, and a ":" at the front is the field before it left empty.
func IsType(name string) bool { return len(name) <= 64 && typeName.MatchString(name) }

// IsFolderType tells that a text may name a type that is made of a folder: two or more words of lower case,
// joined by dots. A folder is a file's name too, on systems that know no case or take ":" for something else,
// and the dot tells it from folders that are there for other reasons.
func IsFolderType(name string) bool { return len(name) <= 64 && folderType.MatchString(name) }

// IsQueue tells that a text may name a queue.
func IsQueue(name string) bool { return len(name) <= 32 && queueName.MatchString(name) }

// isClaimable tells that a text is what Claimable writes.
func isClaimable(text string) bool {
	tenant, name, ok := strings.Cut(text, "/")
	return ok && len(tenant) <= 48 && tenantName.MatchString(tenant) && IsType(name)
}

// A Place is where a job waits for a worker: each lane and priority of each queue has a list of its own.
type Place struct {
	Lane     Lane
	Priority Priority
	Queue    string // its name; "" = the default one
	// Claimable is what is claimed there, as Claimable writes it; "" but in LaneClaim.
	Claimable string
}

// usualTenant is the tenant of those who name none, package access's DefaultTenant.
const usualTenant = "default"

// Claimable names a type of a tenant, as places of LaneClaim have it.
func Claimable(tenant, typ string) string {
	if tenant == "" {
		tenant = usualTenant
	}
	return tenant + "/" + typ
}

// PlaceOf is where a tenant's job of a type waits.
func PlaceOf(l Lane, p Priority, queue, tenant, typ string) Place {
	at := Place{Lane: l, Priority: p, Queue: queue}
	if l == LaneClaim {
		at.Claimable = Claimable(tenant, typ)
	}
	return at
}

// InQueue is a queue's name as places, tickets and records have it.
func InQueue(name string) string {
	if name == DefaultQueue {
		return ""
	}
	return name
}

// QueueOf is the name that people know a queue by.
func QueueOf(name string) string {
	if name == "" {
		return DefaultQueue
	}
	return name
}

// Name is the place's, "io-high", and with a queue that isn't the default one "io-high:mailers". One of
// LaneClaim has both behind, "claim-high::acme/photos.caption".
func (p Place) Name() string {
	name := string(p.Lane) + "-" + string(p.Priority)
	if p.Queue != "" || p.Claimable != "" {
		name += ":" + p.Queue
	}
	if p.Claimable != "" {
		name += ":" + p.Claimable
	}
	return name
}

// ParsePlace reads what Name writes, whatever the lane and the priority are.
func ParsePlace(name string) Place {
	at, queue, _ := strings.Cut(name, ":")
	lane, priority, _ := strings.Cut(at, "-")
	p := Place{Lane: Lane(lane), Priority: Priority(priority), Queue: queue}
	if p.Lane == LaneClaim {
		p.Queue, p.Claimable, _ = strings.Cut(queue, ":")
	}
	return p
}

// Known tells that there may be such a place.
func (p Place) Known() bool {
	if p.Lane == LaneClaim != isClaimable(p.Claimable) {
		return false
	}
	return (p.Lane == LaneClaim || slices.Contains(Lanes, p.Lane)) &&
		slices.Contains(Priorities, p.Priority) && (p.Queue == "" || IsQueue(p.Queue) && p.Queue != DefaultQueue)
}

// PlacesOf are all that a queue may have where workers serve it.
func PlacesOf(queue string) []Place {
	places := make([]Place, 0, len(Lanes)*len(Priorities))
	for _, l := range Lanes {
		for _, p := range Priorities {
			places = append(places, Place{Lane: l, Priority: p, Queue: InQueue(queue)})
		}
	}
	return places
}

// A Share is a queue that a worker serves, and how much of its takes that queue gets.
type Share struct {
	Queue  string // its name; "" = the default one
	Weight int    // against those of others that have jobs
	First  bool   // while it has jobs nothing is taken from others
}

// MaxShare is the largest weight of a share.
const MaxShare = 1000

// String writes a share as ParseShare reads it.
func (s Share) String() string {
	switch {
	case s.First:
		return QueueOf(s.Queue) + "!"
	case s.Weight == 1:
		return QueueOf(s.Queue)
	}
	return QueueOf(s.Queue) + "=" + strconv.Itoa(s.Weight)
}

// ParseShare reads one: mailers, mailers=3 or mailers!.
func ParseShare(text string) (Share, error) {
	name, weight, weighed := strings.Cut(text, "=")
	name, first := strings.CutSuffix(name, "!")
	s := Share{InQueue(name), 1, first}
	if !IsQueue(name) {
		return s, fmt.Errorf("%q names no queue: %s", text, QueueNames)
	}
	if !weighed {
		return s, nil
	}
	n, err := strconv.Atoi(weight)
	if err != nil || n < 1 || n > MaxShare || first {
		return s, fmt.Errorf("%q: a weight is a number from 1 to %d, and one with ! has none", text, MaxShare)
	}
	s.Weight = n
	return s, nil
}

// AllQueues is what a worker says of its queues that serves each.
const AllQueues = "*"

// SharesServe tells that a worker serves a queue, by what it says of its queues: shares as String writes
// them, or AllQueues. One that says nothing is of a release that knows the default one alone.
func SharesServe(said []string, queue string) bool {
	if len(said) == 0 {
		return queue == ""
	}
	return slices.ContainsFunc(said, func(one string) bool {
		s, err := ParseShare(one)
		return one == AllQueues || err == nil && s.Queue == queue
	})
}

// ParseShares reads some, each of another queue.
func ParseShares(texts []string) ([]Share, error) {
	var shares []Share
	for _, text := range texts {
		s, err := ParseShare(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(shares, func(other Share) bool { return other.Queue == s.Queue }) {
			return nil, fmt.Errorf("queue %s stands there twice", QueueOf(s.Queue))
		}
		shares = append(shares, s)
	}
	return shares, nil
}
