package stream

import (
	"unicode"
	"unicode/utf8"
)

// anyKind is the form of a stage that changes nothing.
func anyKind(in Kind) (Kind, bool) { return in, true }

// Count is the stage count. It changes nothing: every stage is counted, and
// this one marks a place of which the counts are wanted.
func Count() Stage {
	return Stage{name: "count", gives: anyKind, push: func(_ *run, _ Kind, next flow) (flow,
		error) {
		return next, nil
	}}
}

// Checksum is the stage checksum. It changes nothing and digests what passes
// by, see NewDigests.
func Checksum(algorithms ...string) Stage {
	return Stage{name: "checksum", gives: anyKind, push: func(r *run, _ Kind, next flow) (flow, error) {
		d, err := NewDigests(algorithms...)
		return &summing{next, r.countOf(next), d}, err
	}}
}

type summing struct {
	next    flow
	count   *StageCount
	digests *Digests
}

func (s *summing) take(b *batch) error {
	if err := eachRun(b, func(p []byte) error { return writeAll(s.digests, p) }); err != nil {
		return err
	}
	return s.next.take(b)
}

func (s *summing) finish() error {
	s.count.Sums = s.digests.Sums()
	return s.next.finish()
}

// Head is the stage head: it keeps the first n lines or records. What follows
// is not read any more, so an error further back goes unnoticed.
func Head(n int64) Stage {
	return Stage{name: "head", gives: sameTexts, push: func(_ *run, _ Kind, next flow) (flow, error) {
		return &head{next, n}, nil
	}}
}

type head struct {
	next flow
	left int64
}

func (h *head) take(b *batch) error {
	if int64(len(b.texts)) > h.left {
		b.texts = b.texts[:h.left]
	}
	h.left -= int64(len(b.texts))
	if len(b.texts) > 0 {
		if err := h.next.take(b); err != nil {
			return err
		}
	}
	if h.left > 0 {
		return nil
	}
	if err := h.next.finish(); err != nil {
		return err
	}
	return errStop
}

func (h *head) finish() error { return h.next.finish() }

// Upper and Lower are the stages upper and lower: they change the case of all
// letters of bytes or lines, by Unicode's simple mapping. Bytes that are not
// UTF-8 stay as they are.
func Upper() Stage { return recase("upper", unicode.ToUpper) }

// Lower: see Upper.
func Lower() Stage { return recase("lower", unicode.ToLower) }

func recase(name string, to func(rune) rune) Stage {
	return Stage{name: name, gives: func(in Kind) (Kind, bool) { return in, in != KindRecords },
		push: func(r *run, in Kind, next flow) (flow, error) {
			c := &caser{to: to, lines: in == KindLines, textWriter: newTextWriter(r, next)}
			for i := range c.ascii {
				c.ascii[i] = byte(to(rune(i)))
			}
			return c, nil
		}}
}

type caser struct {
	textWriter
	to    func(rune) rune
	ascii [utf8.RuneSelf]byte
	lines bool
	cut   []byte // the beginning of a character, from the end of the last chunk
}

func (c *caser) take(b *batch) error {
	if !c.lines {
		return c.bytes(b.data)
	}
	for _, t := range b.texts {
		start := len(c.b.data)
		c.change(b.data[t.start:t.end]) // by half at most
		if err := c.close(start, t.at); err != nil {
			return err
		}
		if err := c.full(false); err != nil {
			return err
		}
	}
	return c.full(true)
}

func (c *caser) change(p []byte) {
	out := c.b.data
	for i := 0; i < len(p); {
		if x := p[i]; x < utf8.RuneSelf {
			out = append(out, c.ascii[x])
			i++
			continue
		}
		r, n := utf8.DecodeRune(p[i:])
		if r == utf8.RuneError && n == 1 {
			out = append(out, p[i])
		} else {
			out = utf8.AppendRune(out, c.to(r))
		}
		i += n
	}
	c.b.data = out
}

// bytes takes a chunk, at whose end a character may be cut.
func (c *caser) bytes(p []byte) error {
	for len(c.cut) > 0 && len(p) > 0 && !utf8.FullRune(c.cut) {
		c.cut, p = append(c.cut, p[0]), p[1:]
	}
	c.b.data = c.b.data[:0]
	if utf8.FullRune(c.cut) {
		c.change(c.cut)
		c.cut = c.cut[:0]
	}
	if len(c.cut) == 0 {
		end := len(p)
		for back := 1; back < utf8.UTFMax && back <= len(p); back++ {
			if utf8.RuneStart(p[len(p)-back]) {
				if !utf8.FullRune(p[len(p)-back:]) {
					end = len(p) - back
				}
				break
			}
		}
		c.change(p[:end])
		c.cut = append(c.cut, p[end:]...)
	}
	return c.give()
}

func (c *caser) give() error {
	if len(c.b.data) == 0 {
		return nil
	}
	c.b.texts = nil
	err := c.next.take(&c.b)
	c.b.data = c.b.data[:0]
	return err
}

func (c *caser) finish() error {
	if len(c.cut) > 0 {
		c.b.data = c.b.data[:0]
		c.change(c.cut)
		c.cut = nil
		if err := c.give(); err != nil {
			return err
		}
	}
	return c.next.finish()
}
