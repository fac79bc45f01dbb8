package jq

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/itchyny/gojq"
)

// A test is a condition on the fields that a scan found. It is compiled from
// the part of the language that compares: paths of names (.a.b, ."a b"),
// literals, ==, !=, <, <=, >, >=, and, or, not, parentheses, and select() around it all.
type test interface {
	holds(b []byte, found []span) bool
}

// compileTest returns the condition that q states and the paths it reads, or
// false if q is more than a comparison of fields.
func compileTest(q *gojq.Query) (t test, paths [][]string, ok bool) {
	c := &testCompiler{}
	if name, args := call(q); name == "select" && len(args) == 1 {
		// What it selects is the record itself, which is to be neither null nor false.
		t, ok = c.test(args[0])
		return and{t, truth{operand{leaf: c.path(nil)}}}, c.paths, ok
	}
	t, ok = c.test(q)
	return t, c.paths, ok
}

type testCompiler struct{ paths [][]string }

func (c *testCompiler) test(q *gojq.Query) (test, bool) {
	if q == nil || len(q.FuncDefs) > 0 || len(q.Patterns) > 0 || q.Meta != nil || len(q.Imports) > 0 {
		return nil, false
	}
	switch q.Op {
	case gojq.OpPipe:
		if name, args := call(q.Right); name != "not" || len(args) > 0 {
			return nil, false
		}
		t, ok := c.test(q.Left)
		return not{t}, ok
	case gojq.OpAnd, gojq.OpOr:
		l, ok := c.test(q.Left)
		if !ok {
			return nil, false
		}
		r, ok := c.test(q.Right)
		if q.Op == gojq.OpAnd {
			return and{l, r}, ok
		}
		return or{l, r}, ok
	case gojq.OpEq, gojq.OpNe, gojq.OpLt, gojq.OpLe, gojq.OpGt, gojq.OpGe:
		l, ok := c.operand(q.Left)
		if !ok {
			return nil, false
		}
		r, ok := c.operand(q.Right)
		return comparison{q.Op, l, r}, ok
	case 0:
	default:
		return nil, false
	}
	if t := plainTerm(q); t != nil && t.Type == gojq.TermTypeQuery {
		return c.test(t.Query)
	}
	v, ok := c.operand(q)
	return truth{v}, ok
}

// plainTerm returns q's term if q is nothing else.
func plainTerm(q *gojq.Query) *gojq.Term {
	if q == nil || q.Op != 0 || q.Term == nil || len(q.FuncDefs) > 0 || len(q.Patterns) > 0 ||
		len(q.Term.SuffixList) > 0 {
		return nil
	}
	return q.Term
}

// call returns the name and the arguments if q is the call of a function.
func call(q *gojq.Query) (string, []*gojq.Query) {
	if t := plainTerm(q); t != nil && t.Type == gojq.TermTypeFunc {
		return t.Func.Name, t.Func.Args
	}
	return "", nil
}

// An operand is a field or a literal.
type operand struct {
	leaf    int    // of a field: index into found; -1 = a literal
	literal []byte // as JSON
}

func (o operand) text(b []byte, found []span) []byte {
	if o.leaf < 0 {
		return o.literal
	}
	at := found[o.leaf]
	return b[at.start:at.end]
}

func (c *testCompiler) operand(q *gojq.Query) (operand, bool) {
	if q == nil || q.Op != 0 || q.Term == nil || len(q.FuncDefs) > 0 || len(q.Patterns) > 0 {
		return operand{}, false
	}
	if text, ok := literal(q.Term); ok {
		return operand{-1, text}, true
	}
	var path []string
	switch t := q.Term; {
	case t.Type == gojq.TermTypeIdentity:
	case t.Type == gojq.TermTypeIndex:
		name, ok := indexName(t.Index)
		if !ok {
			return operand{}, false
		}
		path = append(path, name)
	case t.Type == gojq.TermTypeQuery && len(t.SuffixList) == 0:
		return c.operand(t.Query)
	default:
		return operand{}, false
	}
	for _, s := range q.Term.SuffixList {
		name, ok := indexName(s.Index)
		if !ok || s.Iter || s.Optional {
			return operand{}, false
		}
		path = append(path, name)
	}
	return operand{leaf: c.path(path)}, true
}

// path returns the index of a path among those to find.
func (c *testCompiler) path(path []string) int {
	for i, p := range c.paths {
		if strings.Join(p, "\x00") == strings.Join(path, "\x00") && len(p) == len(path) {
			return i
		}
	}
	c.paths = append(c.paths, path)
	return len(c.paths) - 1
}

// indexName returns the name in .name or ."name".
func indexName(i *gojq.Index) (string, bool) {
	switch {
	case i == nil || i.IsSlice || i.Start != nil || i.End != nil:
		return "", false
	case i.Str != nil:
		return i.Str.Str, i.Str.Queries == nil
	}
	return i.Name, i.Name != ""
}

// literal returns the JSON of a literal without parts.
func literal(t *gojq.Term) ([]byte, bool) {
	if len(t.SuffixList) > 0 {
		return nil, false
	}
	switch t.Type {
	case gojq.TermTypeNull:
		return []byte("null"), true
	case gojq.TermTypeTrue:
		return []byte("true"), true
	case gojq.TermTypeFalse:
		return []byte("false"), true
	case gojq.TermTypeString:
		return AppendString(nil, t.Str.Str), t.Str.Queries == nil
	case gojq.TermTypeNumber:
		return []byte(t.Number), isJSON(t.Number)
	case gojq.TermTypeUnary:
		if t.Unary.Op == gojq.OpSub && t.Unary.Term.Type == gojq.TermTypeNumber &&
			len(t.Unary.Term.SuffixList) == 0 {
			text := "-" + t.Unary.Term.Number
			return []byte(text), isJSON(text)
		}
	}
	return nil, false
}

// isJSON reports whether a number of jq, as ".5", is one of JSON too.
func isJSON(number string) bool {
	b := Padded([]byte(number))
	return newScanner(nil).scan(b, 0, len(b)) == nil
}

type (
	not   struct{ test }
	and   struct{ l, r test }
	or    struct{ l, r test }
	truth struct{ operand }

	comparison struct {
		op   gojq.Operator
		l, r operand
	}
)

func (t not) holds(b []byte, found []span) bool { return !t.test.holds(b, found) }
func (t and) holds(b []byte, found []span) bool { return t.l.holds(b, found) && t.r.holds(b, found) }
func (t or) holds(b []byte, found []span) bool  { return t.l.holds(b, found) || t.r.holds(b, found) }

func (t truth) holds(b []byte, found []span) bool {
	text := t.text(b, found)
	return len(text) > 0 && text[0] != 'n' && text[0] != 'f'
}

func (t comparison) holds(b []byte, found []span) bool {
	c := compare(t.l.text(b, found), t.r.text(b, found))
	switch t.op {
	case gojq.OpEq:
		return c == 0
	case gojq.OpNe:
		return c != 0
	case gojq.OpLt:
		return c < 0
	case gojq.OpLe:
		return c <= 0
	case gojq.OpGt:
		return c > 0
	default:
		return c >= 0
	}
}

// order is jq's order of types, by a value's first byte: null, false, true,
// numbers, strings, arrays, objects.
var order = [256]uint8{'f': 1, 't': 2, '"': 4, '[': 5, '{': 6, '-': 3, '0': 3, '1': 3, '2': 3, '3': 3, '4': 3,
	'5': 3, '6': 3, '7': 3, '8': 3, '9': 3}

func typeOf(text []byte) uint8 {
	if len(text) == 0 {
		return 0 // absent is null
	}
	return order[text[0]]
}

// compare orders two values as gojq.Compare does.
func compare(l, r []byte) int {
	typ, other := typeOf(l), typeOf(r)
	switch {
	case typ != other:
		return int(typ) - int(other)
	case typ < 3:
		return 0
	case typ == 3:
		x, short := integer(l)
		y, both := integer(r)
		if short && both {
			return cmp.Compare(x, y)
		}
		if x, ok := short64(l); ok {
			if y, ok := short64(r); ok {
				return cmp.Compare(x, y)
			}
		}
		if c, ok := compareLong(l, r); ok {
			return c
		}
	case typ == 4:
		if bytes.IndexByte(l, '\\') < 0 && bytes.IndexByte(r, '\\') < 0 {
			return bytes.Compare(l[1:len(l)-1], r[1:len(r)-1])
		}
		most := min(len(l), len(r))
		l, r = front(l[1:len(l)-1], most), front(r[1:len(r)-1], most)
		return bytes.Compare(AppendUnquoted(nil, l), AppendUnquoted(nil, r))
	}
	return gojq.Compare(decode(l), decode(r))
}

// short64 reads a number of at most 15 digits in all and without exponent. Both
// its digits and the power of ten are exact in a float64, and so their quotient
// is the nearest one (Clinger, "How to read floating point numbers accurately",
// 1990).
func short64(text []byte) (float64, bool) {
	digits := text
	if digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) > 16 {
		return 0, false
	}
	var n int64
	var scale, count int
	for i, c := range digits {
		switch {
		case c-'0' <= 9:
			n = 10*n + int64(c-'0')
			count++
		case c == '.':
			scale = len(digits) - 1 - i
		default:
			return 0, false
		}
	}
	if count > 15 {
		return 0, false
	}
	x := float64(n) / powers[scale]
	if len(digits) < len(text) {
		x = -x
	}
	return x, true
}

var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}
