package procfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A command is the words of a line.
type command []word

// A word is pieces that stand together.
type word struct {
	pieces []piece
	quoted bool // so it is a word even where it is empty
}

// A piece is a text, or the name of a variable.
type piece struct {
	text     string
	variable bool
}

func (w word) expand(getenv func(string) string) string {
	var b strings.Builder
	for _, p := range w.pieces {
		if p.variable {
			b.WriteString(getenv(p.text))
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String()
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// assignments is how many words set a variable for the command.
func (c command) assignments() int {
	for i, w := range c {
		if len(w.pieces) == 0 || w.pieces[0].variable || !assignment.MatchString(w.pieces[0].text) {
			return i
		}
	}
	return len(c)
}

// program reports whether there is anything to run.
func (c command) program() bool { return len(c) > c.assignments() }

// A scanner cuts one line into words.
type scanner struct {
	rest  string
	words command
	now   word
	open  bool // there is a word now
}

// errShell is what a line is refused with that only a shell could run.
func errShell(what string) error {
	return fmt.Errorf("%s means something to a shell, and there is none: use sh -c '…', or quotes", what)
}

func parseCommand(line string) (command, error) {
	s := &scanner{rest: line}
	for s.rest != "" {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	s.end()
	return s.words, nil
}

// step takes what stands at the beginning of the rest.
func (s *scanner) step() error {
	c := s.rest[0]
	switch c {
	case ' ', '\t':
		s.end()
		s.rest = s.rest[1:]
		return nil
	case '#':
		if !s.open {
			s.rest = "" // a comment, as in a shell
			return nil
		}
	case '\'':
		text, rest, ok := strings.Cut(s.rest[1:], "'")
		if !ok {
			return errors.New("a ' has no other one")
		}
		s.add(piece{text: text}, true)
		s.rest = rest
		return nil
	case '"':
		return s.double()
	case '$':
		return s.variable()
	case '\\':
		if len(s.rest) == 1 {
			return errors.New(`ends with \: a command is one line`)
		}
		s.add(piece{text: s.rest[1:2]}, true)
		s.rest = s.rest[2:]
		return nil
	case '|', ';', '&', '<', '>', '(', ')', '`':
		return errShell(string(c))
	}
	n := 1 + strings.IndexAny(s.rest[1:], " \t'\"$\\|;&<>()`")
	if n == 0 {
		n = len(s.rest)
	}
	s.add(piece{text: s.rest[:n]}, false)
	s.rest = s.rest[n:]
	return nil
}

// double takes a text in double quotes, where variables count and \ stands before
// one of "$\`.
func (s *scanner) double() error {
	s.rest = s.rest[1:]
	s.add(piece{}, true)
	for s.rest != "" {
		switch c := s.rest[0]; {
		case c == '"':
			s.rest = s.rest[1:]
			return nil
		case c == '$':
			if err := s.variable(); err != nil {
				return err
			}
		case c == '`':
			return errShell("`")
		case c == '\\' && len(s.rest) > 1 && strings.IndexByte("\"$\\`", s.rest[1]) >= 0:
			s.add(piece{text: s.rest[1:2]}, true)
			s.rest = s.rest[2:]
		default:
			s.add(piece{text: s.rest[:1]}, true)
			s.rest = s.rest[1:]
		}
	}
	return errors.New(`a " has no other one`)
}

var variableForm = regexp.MustCompile(`^\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})`)

func (s *scanner) variable() error {
	m := variableForm.FindStringSubmatch(s.rest)
	if m == nil {
		if len(s.rest) > 1 && strings.IndexByte("({", s.rest[1]) >= 0 {
			return errShell(s.rest[:2])
		}
		return errors.New(`expected $NAME or ${NAME}; a $ by itself is '$'`)
	}
	s.add(piece{text: m[1] + m[2], variable: true}, false)
	s.rest = s.rest[len(m[0]):]
	return nil
}

func (s *scanner) add(p piece, quoted bool) {
	s.open = true
	s.now.quoted = s.now.quoted || quoted
	last := len(s.now.pieces) - 1
	switch {
	case !p.variable && last >= 0 && !s.now.pieces[last].variable:
		s.now.pieces[last].text += p.text
	case p.variable || p.text != "":
		s.now.pieces = append(s.now.pieces, p)
	}
}

func (s *scanner) end() {
	if s.open {
		s.words = append(s.words, s.now)
		s.now, s.open = word{}, false
	}
}
