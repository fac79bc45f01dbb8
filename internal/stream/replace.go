package stream

import (
	"bytes"
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"sync"
	"unicode/utf8"
)

// Replace is the stage replace: in each line it puts with in the place of every
// occurrence of old.
func Replace(old, with string) (Stage, error) {
	if old == "" || bytes.ContainsAny([]byte(old+with), "\n") {
		return Stage{}, errors.New("what to replace is empty, or there is a newline in it")
	}
	from, to := []byte(old), []byte(with)
	return replacing(func() (replacement, error) {
		return func(s *replacer, start int, line []byte) error {
			return s.replaceText(start, line, from, to)
		}, nil
	}), nil
}

// ReplacePattern is the stage replace with a regular expression (RE2, see
// package regexp), to whose groups $1 or ${name} in with refer. It judges the
// pattern (PatternJudge) and leaves compiling it to the run.
func ReplacePattern(pattern, with string) (Stage, error) {
	if bytes.ContainsAny([]byte(with), "\n") {
		return Stage{}, errors.New("there is a newline in what to put in the place")
	}
	if err := (&PatternJudge{}).Judge(pattern); err != nil {
		return Stage{}, err
	}
	compiled := sync.OnceValues(func() (*substitution, error) { return newSubstitution(pattern, with) })
	return replacing(func() (replacement, error) {
		p, err := compiled()
		if err != nil {
			return nil, err
		}
		return p.replace, nil
	}), nil
}

// A replacement appends what becomes of a line to the text begun at
// data[start:], as long as it fits into a record.
type replacement func(s *replacer, start int, line []byte) error

func replacing(with func() (replacement, error)) Stage {
	return Stage{name: "replace", gives: func(in Kind) (Kind, bool) { return KindLines, in == KindLines },
		push: func(r *run, _ Kind, next flow) (flow, error) {
			replace, err := with()
			if err != nil {
				return nil, err
			}
			return &replacer{newTextWriter(r, next), replace}, nil
		}}
}

type replacer struct {
	textWriter
	replace replacement
}

func (s *replacer) take(b *batch) error {
	for _, t := range b.texts {
		start := len(s.b.data)
		if err := s.settle(start, t.at, s.replace(s, start, b.data[t.start:t.end])); err != nil {
			return err
		}
	}
	return s.full(true)
}

func (s *replacer) finish() error { return s.next.finish() }

func (s *replacer) replaceText(start int, line, old, with []byte) error {
	for {
		i := bytes.Index(line, old)
		if i < 0 {
			return s.add(start, line)
		}
		if err := s.add(start, line[:i]); err != nil {
			return err
		}
		if err := s.add(start, with); err != nil {
			return err
		}
		if err := s.pace.did(i + len(with)); err != nil {
			return err
		}
		line = line[i+len(old):]
	}
}

// A substitution is a pattern and what comes in its place.
type substitution struct {
	re     *regexp.Regexp
	behind *regexp.Regexp // the pattern behind a character and others, in group 1; nil if it never looks back
	with   []byte
	pieces [][]byte // of with: each has one reference at most
}

func newSubstitution(pattern, with string) (*substitution, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	p := &substitution{re: re, with: []byte(with), pieces: pieces([]byte(with))}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if looksBack(tree) {
		if p.behind, err = regexp.Compile(`\A(?s:.)(?s:.*?)(` + pattern + `)`); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// pieces cuts a template in front of its references, so that it may be expanded
// one by one.
func pieces(template []byte) [][]byte {
	var all [][]byte
	from := 0
	for i := 0; i < len(template); i++ {
		if template[i] != '$' {
			continue
		}
		if i > from {
			all = append(all, template[from:i])
		}
		from = i
		if i+1 < len(template) && template[i+1] == '$' {
			i++
		}
	}
	return append(all, template[from:])
}

// looksBack reports whether what a pattern matches depends on what stands before.
func looksBack(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpBeginText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	return slices.ContainsFunc(re.Sub, looksBack)
}

// replace does what regexp.ReplaceAll does, but stops where the text gets longer
// than a record.
func (p *substitution) replace(s *replacer, start int, line []byte) error {
	done := 0 // of line
	for at := 0; at <= len(line); {
		m := p.find(line, at)
		if m == nil {
			break
		}
		if err := s.add(start, line[done:m[0]]); err != nil {
			return err
		}
		if m[1] > done || m[0] == 0 { // an empty match at the end of the last one is none
			if err := p.expand(s, start, line, m); err != nil {
				return err
			}
		}
		if err := s.pace.did(m[1] - at); err != nil {
			return err
		}
		done = m[1]
		_, size := utf8.DecodeRune(line[at:])
		at = max(m[1], at+max(size, 1))
	}
	return s.add(start, line[done:])
}

// find returns the places of the first match in line[at:] and of its groups, or
// nil. What stands before is seen, but no part of the match.
func (p *substitution) find(line []byte, at int) []int {
	from, m := at, []int(nil)
	if at > 0 && p.behind != nil {
		_, size := utf8.DecodeLastRune(line[:at])
		from = at - size
		if m = p.behind.FindSubmatchIndex(line[from:]); m != nil {
			m = m[2:]
		}
	} else {
		m = p.re.FindSubmatchIndex(line[at:])
	}
	for i := range m {
		if m[i] >= 0 {
			m[i] += from
		}
	}
	return m
}

// expand appends what comes in a match's place.
func (p *substitution) expand(s *replacer, start int, line []byte, m []int) error {
	room := MaxRecord - (len(s.b.data) - start)
	if len(p.with)+len(p.pieces)*(m[1]-m[0]) <= room {
		s.b.data = p.re.Expand(s.b.data, p.with, line, m)
		return nil
	}
	for _, piece := range p.pieces {
		s.b.data = p.re.Expand(s.b.data, piece, line, m)
		if err := s.add(start, nil); err != nil {
			return err
		}
	}
	return nil
}
