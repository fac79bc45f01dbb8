package jq

import "bytes"

// maxTame is how many comparisons, and how many paths, a tame expression has.
const maxTame = 64

// tame reports whether a condition compares a few fields with literals only. Two
// fields may both be long, and lists: then they are decoded to be compared.
func tame(t test, paths [][]string) bool {
	leaves, alike := 0, false
	var look func(test)
	look = func(t test) {
		switch t := t.(type) {
		case not:
			look(t.test)
		case and:
			look(t.l)
			look(t.r)
		case or:
			look(t.l)
			look(t.r)
		case comparison:
			leaves++
			alike = alike || t.l.leaf >= 0 && t.r.leaf >= 0
		default:
			leaves++
		}
	}
	look(t)
	return leaves <= maxTame && len(paths) <= maxTame && !alike
}

// longNumber is how many bytes make a number longer than any that a float64
// holds exactly, or that is worth computing with.
const longNumber = 400

// compareLong compares two numbers of which one is long; ok is false if neither
// is, or only math/big could tell. Reading a long one takes time by the square
// of its length.
func compareLong(l, r []byte) (c int, ok bool) {
	if len(l) <= longNumber && len(r) <= longNumber {
		return 0, false
	}
	if !whole(l) && len(l) > longNumber || !whole(r) && len(r) > longNumber {
		return 0, false // read as a float64, in one pass
	}
	ln, rn := l[0] == '-', r[0] == '-'
	switch {
	case ln != rn && ln:
		return -1, true
	case ln != rn:
		return 1, true
	case ln:
		l, r = r[1:], l[1:]
	}
	switch {
	case whole(l) && whole(r) && len(l) == len(r):
		return bytes.Compare(l, r), true
	case whole(l) && whole(r):
		return len(l) - len(r), true
	case whole(l): // and long: beyond what the other one can be
		return 1, true
	default:
		return -1, true
	}
}

// whole reports whether a number has neither fraction nor exponent.
func whole(number []byte) bool { return !bytes.ContainsAny(number, ".eE") }

// decodeAlong is decode of the parts that a scanner looks for. What lies beside
// its paths is left out, lists and objects at their ends are empty, and a long
// number there is one that is as far from all short ones.
func decodeAlong(text []byte, n *node) any {
	d := decoder{b: text}
	d.skip()
	return d.along(n)
}

func (d *decoder) along(n *node) any {
	switch d.b[d.i] {
	case '{':
	case '[':
		d.pass()
		return []any{}
	default:
		start := d.i
		d.pass()
		if number := d.b[start:d.i]; len(number) > longNumber && number[0] != '"' && whole(number) {
			if number[0] == '-' {
				return -1e308
			}
			return 1e308
		}
		d.i = start
		return d.value()
	}
	m := map[string]any{}
	d.i++
	for d.skip(); d.b[d.i] != '}'; d.skip() {
		if d.b[d.i] == ',' {
			d.i++
			d.skip()
		}
		start := d.i
		d.pass()
		child := n.match(d.b[start+1 : d.i-1])
		d.skip()
		d.i++ // the colon
		d.skip()
		if child == nil {
			d.pass()
			continue
		}
		m[child.key] = d.along(child)
	}
	d.i++
	return m
}

// pass goes past a value of a checked text.
func (d *decoder) pass() {
	depth := 0
	for {
		switch d.b[d.i] {
		case '"':
			for d.i++; d.b[d.i] != '"'; d.i++ {
				if d.b[d.i] == '\\' {
					d.i++
				}
			}
			d.i++
		case '{', '[':
			depth++
			d.i++
		case '}', ']':
			depth--
			d.i++
		case ',', ':', ' ', '\t', '\r':
			d.i++
			continue
		default:
			for d.i < len(d.b) && (isNumber[d.b[d.i]] || d.b[d.i]|0x20 >= 'a' && d.b[d.i]|0x20 <= 'z') {
				d.i++
			}
		}
		if depth == 0 {
			return
		}
	}
}

// front is as much of a string's inside as decides a comparison with one that is
// most bytes long: what it means is longer. A character at the cut may come out
// wrong, far behind that.
func front(raw []byte, most int) []byte {
	i := 0
	for n := 0; i < len(raw) && n < most+16; n++ {
		switch {
		case raw[i] != '\\':
			i++
		case raw[i+1] == 'u':
			i += 6
		default:
			i += 2
		}
	}
	return raw[:i]
}
