package jq

import (
	"strings"

	"github.com/itchyny/gojq"
)

// An orderer reads from an expression in which order its objects have their
// members. What it doesn't understand, as names that are computed, it leaves
// open. It looks at a bounded number of parts, however they call each other.
type orderer struct {
	funcs []*gojq.FuncDef
	vars  map[string]*memberOrder
	left  int // parts to look at
	depth int
}

const (
	maxOrderParts = 20_000
	maxOrderDepth = 100
)

// orderOf is the order that an expression gives to the input.
func orderOf(q *gojq.Query) *memberOrder {
	c := &orderer{vars: map[string]*memberOrder{}, left: maxOrderParts}
	return c.query(q, inputOrder())
}

// spend takes parts off the budget and reports whether there were so many.
func (c *orderer) spend(n int) bool {
	c.left -= n
	return c.left > 0
}

func (c *orderer) query(q *gojq.Query, in *memberOrder) *memberOrder {
	if q == nil || c.depth > maxOrderDepth || !c.spend(1) {
		return nil
	}
	c.depth++
	defer func(funcs int) {
		c.depth--
		c.funcs = c.funcs[:funcs]
	}(len(c.funcs))
	c.funcs = append(c.funcs, q.FuncDefs...)
	switch q.Op {
	case 0:
		return c.term(q.Term, in)
	case gojq.OpPipe:
		left := c.query(q.Left, in)
		if len(q.Patterns) == 0 {
			return c.query(q.Right, left)
		}
		if name := q.Patterns[0].Name; name != "" {
			old, had := c.vars[name]
			c.vars[name] = left
			defer func() {
				if c.vars[name] = old; !had {
					delete(c.vars, name)
				}
			}()
		}
		return c.query(q.Right, in)
	case gojq.OpComma, gojq.OpAlt:
		return alternatives(c.query(q.Left, in), c.query(q.Right, in))
	case gojq.OpAdd, gojq.OpMul:
		return c.sum(c.query(q.Left, in), c.query(q.Right, in))
	case gojq.OpSub:
		return c.query(q.Left, in)
	case gojq.OpAssign, gojq.OpModify, gojq.OpUpdateAdd, gojq.OpUpdateMul, gojq.OpUpdateSub, gojq.OpUpdateAlt:
		return c.update(q, in)
	}
	return nil
}

func (c *orderer) sum(a, b *memberOrder) *memberOrder {
	if a, b := a.first(), b.first(); a != nil && b != nil && !c.spend(len(a.items)+len(b.items)+len(a.kids)) {
		return a
	}
	return a.plus(b)
}

// update is the order after an assignment to paths.
func (c *orderer) update(q *gojq.Query, in *memberOrder) *memberOrder {
	out := in
	for _, path := range c.paths(q.Left, nil) {
		if o := out.first(); o != nil && !c.spend(len(o.items)+len(o.kids)+1) {
			return in
		}
		at := in
		for _, name := range path {
			at = at.child(name)
		}
		var value *memberOrder
		switch q.Op {
		case gojq.OpModify:
			value = c.query(q.Right, at)
		case gojq.OpAssign:
			value = c.query(q.Right, in)
		case gojq.OpUpdateAlt:
			value = alternatives(at, c.query(q.Right, in))
		default:
			value = c.sum(at, c.query(q.Right, in))
		}
		out = out.with(path, value)
	}
	return out
}

// paths are the paths that an expression names, each behind base; those that
// are computed are left out.
func (c *orderer) paths(q *gojq.Query, base []string) [][]string {
	if q == nil || len(q.Patterns) > 0 || c.depth > maxOrderDepth || !c.spend(1) {
		return nil
	}
	c.depth++
	defer func() { c.depth-- }()
	switch q.Op {
	case gojq.OpComma:
		return append(c.paths(q.Left, base), c.paths(q.Right, base)...)
	case gojq.OpPipe:
		var all [][]string
		for _, path := range c.paths(q.Left, base) {
			all = append(all, c.paths(q.Right, path)...)
		}
		return all
	case 0:
	default:
		return nil
	}
	t := q.Term
	if t == nil {
		return nil
	}
	starts := [][]string{base}
	switch t.Type {
	case gojq.TermTypeIdentity:
	case gojq.TermTypeIndex:
		starts = [][]string{step(base, t.Index)}
	case gojq.TermTypeQuery:
		starts = c.paths(t.Query, base)
	case gojq.TermTypeFunc:
		if t.Func.Name != "select" {
			return nil
		}
	default:
		return nil
	}
	for i, path := range starts {
		for _, s := range t.SuffixList {
			switch {
			case s.Iter:
				path = append(path[:len(path):len(path)], anyElement)
			case s.Index != nil:
				path = step(path, s.Index)
			}
		}
		starts[i] = path
	}
	return starts
}

// step adds to a path.
func step(path []string, i *gojq.Index) []string {
	name, ok := constantIndex(i)
	if !ok {
		name = anyElement
	}
	return append(path[:len(path):len(path)], name)
}

// constantIndex is the name in .name, ."name" or .["name"].
func constantIndex(i *gojq.Index) (string, bool) {
	if name, ok := indexName(i); ok {
		return name, true
	}
	if i != nil && !i.IsSlice && i.End == nil {
		return constant(i.Start)
	}
	return "", false
}

// constant is the text that an expression is.
func constant(q *gojq.Query) (string, bool) {
	if t := plainTerm(q); t != nil && t.Type == gojq.TermTypeString && t.Str.Queries == nil {
		return t.Str.Str, true
	}
	return "", false
}

func (c *orderer) term(t *gojq.Term, in *memberOrder) *memberOrder {
	if t == nil {
		return nil
	}
	var out *memberOrder
	switch t.Type {
	case gojq.TermTypeIdentity:
		out = in
	case gojq.TermTypeIndex:
		out = index(in, t.Index)
	case gojq.TermTypeFunc:
		out = c.call(t.Func, in)
	case gojq.TermTypeObject:
		out = c.object(t.Object, in)
	case gojq.TermTypeArray:
		out = &memberOrder{elem: c.query(t.Array.Query, in)}
	case gojq.TermTypeQuery:
		out = c.query(t.Query, in)
	case gojq.TermTypeIf:
		out = c.branches(t.If, in)
	case gojq.TermTypeTry:
		out = alternatives(c.query(t.Try.Body, in), c.query(t.Try.Catch, nil))
	case gojq.TermTypeReduce:
		out = c.query(t.Reduce.Update, c.query(t.Reduce.Start, in))
	case gojq.TermTypeForeach:
		out = c.query(t.Foreach.Update, c.query(t.Foreach.Start, in))
		if t.Foreach.Extract != nil {
			out = c.query(t.Foreach.Extract, out)
		}
	case gojq.TermTypeLabel:
		out = c.query(t.Label.Body, in)
	}
	for _, s := range t.SuffixList {
		switch {
		case s.Iter:
			out = out.child(anyElement)
		case s.Index != nil:
			out = index(out, s.Index)
		}
	}
	return out
}

func index(o *memberOrder, i *gojq.Index) *memberOrder {
	switch name, ok := constantIndex(i); {
	case ok:
		return o.child(name)
	case i.IsSlice:
		return o
	}
	return o.child(anyElement)
}

func (c *orderer) branches(i *gojq.If, in *memberOrder) *memberOrder {
	all := []*memberOrder{c.query(i.Then, in)}
	for _, e := range i.Elif {
		all = append(all, c.query(e.Then, in))
	}
	if i.Else == nil {
		return alternatives(append(all, in)...)
	}
	return alternatives(append(all, c.query(i.Else, in))...)
}

func (c *orderer) object(object *gojq.Object, in *memberOrder) *memberOrder {
	out := &memberOrder{kids: map[string]*memberOrder{}}
	for _, kv := range object.KeyVals {
		name, known := kv.Key, kv.Key != ""
		switch {
		case variable(name):
			name = strings.TrimPrefix(name, "$")
			out.kids[name] = c.vars[kv.Key]
		case kv.KeyString != nil:
			name, known = kv.KeyString.Str, kv.KeyString.Queries == nil
		case !known:
			name, known = constant(kv.KeyQuery)
		}
		switch {
		case !known:
			out.items = append(out.items, orderItem{which: itemRest})
			c.query(kv.Val, in)
			continue
		case kv.Val != nil:
			out.kids[name] = c.query(kv.Val, in)
		case !variable(kv.Key):
			out.kids[name] = in.child(name)
		}
		out.items = append(out.items, orderItem{key: name})
	}
	return out
}

// call is the order of what a function gives.
func (c *orderer) call(f *gojq.Func, in *memberOrder) *memberOrder {
	if variable(f.Name) {
		return c.vars[f.Name]
	}
	for i := len(c.funcs) - 1; i >= 0; i-- {
		if d := c.funcs[i]; d.Name == f.Name && len(d.Args) == len(f.Args) {
			return c.query(d.Body, in)
		}
	}
	last := func() *memberOrder { return c.query(f.Args[len(f.Args)-1], in) }
	switch name := f.Name; {
	case (name == "first" || name == "last") && len(f.Args) == 0:
		return in.child(anyElement)
	case name == "first" || name == "last" || (name == "limit" || name == "skip" || name == "nth") &&
		len(f.Args) == 2:
		return last()
	case name == "map" && len(f.Args) == 1:
		mapped := &memberOrder{elem: c.query(f.Args[0], in.child(anyElement))}
		if o := in.first(); o != nil {
			mapped.from = o.from
		}
		return mapped
	case name == "map_values" && len(f.Args) == 1:
		changed := memberOrder{elem: c.query(f.Args[0], in.child(anyElement))}
		if o := in.first(); o != nil {
			changed.items = o.items
		}
		return &changed
	case name == "to_entries":
		entry := &memberOrder{items: []orderItem{{key: "key"}, {key: "value"}},
			kids: map[string]*memberOrder{"value": in.child(anyElement)}}
		return &memberOrder{elem: entry, from: in}
	case name == "from_entries":
		if o := in.first(); o != nil {
			return o.from
		}
		return nil
	case name == "add" && len(f.Args) == 0:
		return c.total(in.child(anyElement))
	case name == "add" && len(f.Args) == 1:
		return c.total(last())
	case name == "pick" && len(f.Args) == 1:
		return c.pick(f.Args[0], in)
	}
	return in
}

// total is the order of the sum of what may be several objects.
func (c *orderer) total(o *memberOrder) *memberOrder {
	if o == nil || o.alts == nil {
		return o
	}
	sum := o.alts[0]
	for _, a := range o.alts[1:] {
		sum = c.sum(sum, a)
	}
	return sum
}

func (c *orderer) pick(paths *gojq.Query, in *memberOrder) *memberOrder {
	out := &memberOrder{}
	for _, path := range c.paths(paths, nil) {
		at := in
		for _, name := range path {
			at = at.child(name)
		}
		if !c.spend(len(out.items) + 1) {
			return in
		}
		out = out.with(path, at)
	}
	return out
}
