package access

import (
	"fmt"
	"slices"
	"strings"
)

// A Scope is one thing, or several, that a principal may do.
type Scope uint32

// The scopes. docs/access.md says what each gives.
const (
	JobsSubmit Scope = 1 << iota
	JobsRead
	JobsCancel
	JobsAll
	JobsLogs
	JobsRelease
	JobsWork
	Numbers
	Operate
	FunctionsDeploy
	Admin

	// Known is no scope to be given: each principal has it that isn't a page's token.
	Known

	all = Admin<<1 - 1
)

// scopeNames are those that can be given, in the order of their bits.
var scopeNames = []string{"jobs:submit", "jobs:read", "jobs:cancel", "jobs:all", "jobs:logs", "jobs:release",
	"jobs:work", "numbers", "operate", "functions:deploy", "admin"}

// ScopeNames are all that can be given.
func ScopeNames() []string { return slices.Clone(scopeNames) }

// ParseScope returns the scope of a name.
func ParseScope(name string) (Scope, bool) {
	i := slices.Index(scopeNames, name)
	return 1 << max(i, 0), i >= 0
}

// ParseScopes returns all of some names. The error is for the client to read.
func ParseScopes(names []string) (Scope, error) {
	var all Scope
	for _, name := range names {
		s, ok := ParseScope(name)
		if !ok {
			return 0, fmt.Errorf("unknown scope %q: there are %s", name, strings.Join(scopeNames, ", "))
		}
		all |= s
	}
	return all, nil
}

// Names are the names of the scopes.
func (s Scope) Names() []string {
	var names []string
	for i, name := range scopeNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (s Scope) String() string { return strings.Join(s.Names(), " ") }

// Full is s with what it includes.
func (s Scope) Full() Scope {
	if s&Operate != 0 {
		s |= JobsRelease
	}
	return s
}

// Has reports whether s gives all that is wanted.
func (s Scope) Has(want Scope) bool { return want != 0 && s&want == want }
