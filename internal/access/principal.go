package access

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Kind is how a principal shows who it is.
type Kind string

// The kinds.
const (
	KindOpen    Kind = "open" // the installation asks for nothing
	KindRoot    Kind = "root" // LONGSHORE_TOKEN
	KindKey     Kind = "key"
	KindToken   Kind = "token"   // a page's
	KindForeign Kind = "foreign" // a JWT of another issuer
	KindSession Kind = "session" // a person's
)

// The tenants that there are without a setting: the usual one, and the installation.
const (
	DefaultTenant = "default"
	Installation  = "*"
)

// Why a principal that was one is none any more, or another one never was.
var (
	ErrUnknown = errors.New("unknown credential")
	ErrExpired = errors.New("credential has expired")
	ErrRevoked = errors.New("credential was revoked")
	// ErrUnread says that nobody can tell for the moment.
	ErrUnread = errors.New("access data can't be read")
	// ErrNoTenant is a foreign token that is right and lacks what was to say whose it is.
	ErrNoTenant = errors.New("token names no tenant")
)

// A Principal is who calls. It is shared by all requests of one credential, and never
// changes but for its end. The zero value may do nothing.
type Principal struct {
	Kind    Kind
	ID      string // of a key or a token, "root", or what stands for a foreign subject
	Tenant  string // Installation = all there is
	Subject string // the app's own name of a user; "" = none
	Scopes  Scope
	Types   []string  // globs of the types that it may submit; nil = all
	Expires time.Time // zero = never
	Rate    Rate      // the zero value = no limit
	Grant   *Grant    // of a page's token; nil: it may do what its scopes say to any job
	Session *Session  // of a person; nil: it is none
	Age     int       // counts what ended the tokens that it has made

	mu    sync.Mutex
	ended error // why it is none any more
	first *Held
}

// A Grant is what bounds a page's token beside its scopes.
type Grant struct {
	Maker  string   // who made it, as MakerName says
	Origin string   // of the pages that may use it; "" = any
	Jobs   []string // that it may see
	All    bool     // it sees all of its subject's
	Submit *Submit  // nil: it submits nothing
}

// Submit is what a page may submit: one job.
type Submit struct {
	Job      string            // the id that it has, drawn already
	Until    time.Time         // by when it is submitted, and known
	Types    []string          // globs
	MaxBytes int64             // of its input
	Payload  []byte            // JSON; nil: the page gives it
	With     map[string]string // controls, as a query has them
}

// Open is everybody, where the installation asks for nothing.
var Open = &Principal{Kind: KindOpen, ID: "open", Tenant: Installation, Scopes: all | Known}

// Root is who has the installation's token.
var Root = &Principal{Kind: KindRoot, ID: "root", Tenant: Installation, Scopes: all | Known}

// Name is how the principal is called in logs and stories.
func (p *Principal) Name() string {
	switch p.Kind {
	case KindOpen, KindRoot:
		return p.ID
	default:
		return string(p.Kind) + " " + p.ID
	}
}

// MakerName is how tokens call who made them: a key or a person, and of what age. What ends all that was
// made until then counts for that age and needs no clock.
func (p *Principal) MakerName() string {
	if p.Kind != KindKey && p.Kind != KindSession {
		return p.ID
	}
	return p.ID + "~" + strconv.Itoa(p.Age)
}

// MakerID is the id in a maker's name.
func MakerID(name string) string {
	id, _, _ := strings.Cut(name, "~")
	return id
}

// May reports whether the principal has a scope, and of the whole installation if that is
// what the scope is wanted for.
func (p *Principal) May(want Scope, wide bool) bool {
	return p.Scopes.Full().Has(want) && (!wide || p.Tenant == Installation)
}

// Sees reports whether a job is one that the principal may know of, as far as its id says. What its
// record says is for View.
func (p *Principal) Sees(id string) bool {
	if p.Grant == nil || p.Grant.All {
		return true
	}
	return p.Draws(id) || slices.Contains(p.Grant.Jobs, id)
}

// Draws reports whether a job may be seen that needn't be there yet.
func (p *Principal) Draws(id string) bool {
	return p.Grant != nil && p.Grant.Submit != nil && p.Grant.Submit.Job == id
}

// SeesAll reports whether the principal may see lists of jobs.
func (p *Principal) SeesAll() bool { return p.Grant == nil || p.Grant.All }

// Submits reports whether the principal may submit jobs of a type.
func (p *Principal) Submits(typ string) bool { return p.Types == nil || MatchesAny(p.Types, typ) }

// MatchesAny reports whether a type is among those that some globs let.
func MatchesAny(globs []string, typ string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		ok, err := path.Match(glob, typ)
		return ok && err == nil
	})
}

// CheckGlob says what is wrong with a pattern of types, "" = nothing. Only * is special.
func CheckGlob(glob string) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-*" // job.IsType has them
	if glob == "" || len(glob) > 64 || strings.Trim(glob, letters) != "" {
		return "expected a type, or some with *, as image.* (at most 64 characters)"
	}
	return ""
}

// Covers reports whether all types that globs let are among those of p's.
func (p *Principal) Covers(globs []string) bool {
	if p.Types == nil {
		return true
	}
	if globs == nil {
		return false
	}
	for _, glob := range globs {
		if !slices.ContainsFunc(p.Types, func(ours string) bool { return covers(ours, glob) }) {
			return false
		}
	}
	return true
}

// covers is sure of what it says yes to, and may say no where a proof would be long.
func covers(ours, glob string) bool {
	if ours == glob {
		return true
	}
	if begin, ok := strings.CutSuffix(ours, "*"); ok && !strings.Contains(begin, "*") {
		return strings.HasPrefix(glob, begin)
	}
	ok, err := path.Match(ours, glob)
	return ok && err == nil && !strings.Contains(glob, "*")
}

// Err says why the principal is none any more; nil while it is one.
func (p *Principal) Err() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// A Held is a request that lasts: it ends when its principal does. There may be tens of
// thousands. The zero value holds nothing.
type Held struct {
	prev, next *Held
	of         *Principal
	end        func(why error)
}

// Hold has end called when the principal ends, perhaps at once, and again if what has
// expired is revoked too, until Let. end must not block nor call Let.
func (p *Principal) Hold(h *Held, end func(why error)) {
	if p == nil || p.Kind == KindRoot || p.Kind == KindOpen {
		return // they never end
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil && !p.Expires.IsZero() && !time.Now().Before(p.Expires) {
		p.ended = ErrExpired
	}
	if p.ended != nil {
		end(p.ended)
		return
	}
	h.of, h.end, h.next = p, end, p.first
	if p.first != nil {
		p.first.prev = h
	}
	p.first = h
}

// Let ends what Hold began.
func (h *Held) Let() {
	p := h.of
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.next != nil {
		h.next.prev = h.prev
	}
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		p.first = h.next
	}
	*h = Held{}
}

// End makes a principal none, and ends all that it holds.
func (p *Principal) End(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil && (p.ended != ErrExpired || why != ErrRevoked) { //nolint:errorlint // no others
		return
	}
	p.ended = why
	for h := p.first; h != nil; h = h.next {
		h.end(why)
	}
}

// Holds reports whether some request lasts by the principal.
func (p *Principal) Holds() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first != nil
}
