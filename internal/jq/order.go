package jq

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// gojq keeps an object as a map of Go, which has no order, where jq keeps its
// members in the order in which they came. So that order is found again when a
// value is written: an object of the input has the order it was read in, and for
// one that the expression made, the expression tells (orderer). Orders decide
// about the places of members only, never about which there are.

// A memberOrder says where members go in the objects that a part of an expression
// gives. nil = nothing is known: they are sorted.
type memberOrder struct {
	items []orderItem
	kids  map[string]*memberOrder // of members' values
	elem  *memberOrder            // of an array's elements, and of values under other names
	alts  []*memberOrder          // in place of all that: the one that fits best holds
	from  *memberOrder            // of the object of which these are entries
}

// An orderItem stands for a member, for all of an object in the input, or for
// those that nothing else stands for.
type orderItem struct {
	key   string
	path  []string // of itemInput: names, and anyElement
	which itemKind
}

type itemKind uint8

const (
	itemKey itemKind = iota
	itemInput
	itemRest
)

const anyElement = "[]"

// inputOrder is the order of the input's members at a path.
func inputOrder(path ...string) *memberOrder {
	return &memberOrder{items: []orderItem{{path: path, which: itemInput}}}
}

// child is the order of a member's value.
func (o *memberOrder) child(name string) *memberOrder {
	switch {
	case o == nil:
		return nil
	case o.alts != nil:
		all := make([]*memberOrder, len(o.alts))
		for i, a := range o.alts {
			all[i] = a.child(name)
		}
		return alternatives(all...)
	}
	if kid, ok := o.kids[name]; ok {
		return kid
	}
	if o.elem != nil {
		return o.elem
	}
	for _, item := range slices.Backward(o.items) {
		if item.which == itemInput {
			return inputOrder(append(slices.Clip(item.path), name)...)
		}
	}
	return nil
}

// maxAlternatives bounds what is tried for one object.
const maxAlternatives = 16

// alternatives are orders of which one holds.
func alternatives(orders ...*memberOrder) *memberOrder {
	var all []*memberOrder
	for _, o := range orders {
		switch {
		case o == nil:
		case o.alts != nil:
			all = append(all, o.alts...)
		default:
			all = append(all, o)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return &memberOrder{alts: all[:min(len(all), maxAlternatives)]}
}

// first is an order without alternatives.
func (o *memberOrder) first() *memberOrder {
	if o != nil && o.alts != nil {
		return o.alts[0]
	}
	return o
}

// plus is the order of an object to which another one is added.
func (o *memberOrder) plus(other *memberOrder) *memberOrder {
	o, other = o.first(), other.first()
	if o == nil || other == nil {
		return alternatives(o, other)
	}
	sum := &memberOrder{items: slices.Concat(o.items, other.items), kids: maps.Clone(o.kids),
		elem: alternatives(o.elem, other.elem)}
	if sum.kids == nil {
		sum.kids = other.kids
	} else {
		maps.Copy(sum.kids, other.kids)
	}
	return sum
}

// with is the order of an object after the value at a path was set.
func (o *memberOrder) with(path []string, value *memberOrder) *memberOrder {
	if len(path) == 0 {
		return value
	}
	o = o.first()
	changed := memberOrder{}
	if o != nil {
		changed = *o
	}
	if path[0] == anyElement {
		changed.elem = o.child(anyElement).with(path[1:], value)
		return &changed
	}
	changed.items = append(slices.Clip(changed.items), orderItem{key: path[0]})
	changed.kids = maps.Clone(changed.kids)
	if changed.kids == nil {
		changed.kids = map[string]*memberOrder{}
	}
	changed.kids[path[0]] = o.child(path[0]).with(path[1:], value)
	return &changed
}

// A members is the order of members in each object of one record, as it was read.
type members struct {
	root  any
	of    map[uintptr][]string // by the map's address
	names []string             // what the lists above are cut from
	known map[string]bool      // used by arrange
}

// decode is decode, and remembers the order of members.
func (m *members) decode(text []byte) any {
	m.forget()
	d := decoder{b: text, members: m}
	d.skip()
	m.root = d.value()
	return m.root
}

// forget the record before.
func (m *members) forget() {
	m.of = emptied(m.of)
	m.root, m.names = nil, m.names[:0]
}

// emptied is a map without what was in it. One that was large is dropped, for
// clearing takes as long as filling did.
func emptied[K comparable, V any](m map[K]V) map[K]V {
	if len(m) > 256 {
		return map[K]V{}
	}
	clear(m)
	return m
}

// tooMany reports whether so many names are not worth looking up for an object:
// a small one must not cost what a large one does, for it may be there often.
func tooMany(names int, object map[string]any) bool { return names > 64+16*len(object) }

// note an object's members; names is to be copied.
func (m *members) note(object map[string]any, names []string) {
	start := len(m.names)
	m.names = append(m.names, names...)
	m.of[address(object)] = m.names[start:len(m.names):len(m.names)]
}

func address(object map[string]any) uintptr { return reflect.ValueOf(object).Pointer() }

// at are the names of the members of the input's object at a path.
func (m *members) at(path []string) []string {
	v := m.root
	for _, name := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			if v = nil; name == anyElement && len(x) > 0 {
				v = x[0]
			}
		default:
			return nil
		}
	}
	if object, ok := v.(map[string]any); ok {
		return m.of[address(object)]
	}
	return nil
}

// arrange returns the names of an object's members in their order, and what
// the order says of their values.
func (m *members) arrange(object map[string]any, o *memberOrder) ([]string, *memberOrder) {
	if names, ok := m.of[address(object)]; ok && len(names) == len(object) {
		return names, nil // it is as it was read, and all that is in it
	}
	if o != nil && o.alts != nil {
		o = m.best(object, o.alts)
	}
	if o == nil || tooMany(len(o.items), object) {
		return slices.Sorted(maps.Keys(object)), o
	}
	m.known = emptied(m.known)
	keys, rest := make([]string, 0, len(object)), -1
	take := func(name string) {
		if _, ok := object[name]; ok && !m.known[name] {
			m.known[name] = true
			keys = append(keys, name)
		}
	}
	for _, item := range o.items {
		switch item.which {
		case itemKey:
			take(item.key)
		case itemInput:
			if names := m.at(item.path); !tooMany(len(names), object) {
				for _, name := range names {
					take(name)
				}
			}
		case itemRest:
			if rest < 0 {
				rest = len(keys)
			}
		}
	}
	if len(keys) == len(object) {
		return keys, o
	}
	others := make([]string, 0, len(object)-len(keys))
	for name := range object {
		if !m.known[name] {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	if rest < 0 {
		rest = len(keys)
	}
	return slices.Insert(keys, rest, others...), o
}

// best is the alternative that knows most of an object's members and asks for
// the fewest that it has not.
func (m *members) best(object map[string]any, alts []*memberOrder) *memberOrder {
	var best *memberOrder
	most := 0
	for _, o := range alts {
		score := 1
		if tooMany(len(o.items), object) {
			continue
		}
		for _, item := range o.items {
			switch item.which {
			case itemKey:
				if _, ok := object[item.key]; ok {
					score += 2
				} else {
					score--
				}
			case itemInput:
				if names := m.at(item.path); !tooMany(len(names), object) {
					for _, name := range names {
						if _, ok := object[name]; ok {
							score += 2
						}
					}
				}
			}
		}
		if best == nil || score > most {
			best, most = o, score
		}
	}
	return best
}

// variable reports whether a name is that of a variable.
func variable(name string) bool { return strings.HasPrefix(name, "$") }
