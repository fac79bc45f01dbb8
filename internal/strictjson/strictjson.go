// Package strictjson reads JSON as strictly as strangers' texts need it. Where
// parsers are known to disagree, so that two of them could see two requests in one
// text, it refuses: invalid UTF-8, a name twice in one object, deep nesting, and
// anything behind the value. It knows the grammar from
// github.com/go-json-experiment/json/jsontext and adds the depth, which that
// package fixes at 10,000.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how many objects and arrays a value may lie in.
const MaxDepth = 64

// ErrSyntax says that a text is not the strict JSON we take. The errors that wrap it
// say why and where, and never quote the text.
var ErrSyntax = errors.New("malformed JSON")

// ErrNoObject says that a text is JSON but no object.
var ErrNoObject = errors.New("expected object")

// Check accepts one JSON value (RFC 8259), strictly. The error wraps ErrSyntax.
func Check(text []byte) error {
	r, err := open(text)
	if err != nil {
		return err
	}
	defer r.close()
	return r.value()
}

// Fields checks a text as Check does and calls f for each member of the object that
// it must be, in their order, with what its name says and the text of its value. The
// slices are mostly parts of text. The error is ErrNoObject, wraps ErrSyntax, or is
// what f returned, which ends the reading. f may read a value's own members by Fields.
func Fields(text []byte, f func(name, value []byte) error) error {
	r, err := open(text)
	if err != nil {
		return err
	}
	defer r.close()
	if at := spaces(text, 0); at == len(text) || text[at] != '{' {
		if err := r.value(); err != nil {
			return err
		}
		return ErrNoObject
	}
	return r.object(f)
}

// A reader is a decoder with its source, kept for the next text: each request and
// each line of a batch takes one or two.
type reader struct {
	dec    jsontext.Decoder
	source bytes.Buffer // from which the decoder reads without a copy
	text   []byte
	deep   int // offset of the bracket that is one too deep; -1 = none is
}

// options let the texts of names and strings be what utf8.Valid has let through:
// "\ud800" is no text, but no two parsers take it for different values either.
var options = []jsontext.Options{jsontext.AllowInvalidUTF8(true)}

var readers = sync.Pool{New: func() any {
	r := &reader{}
	r.dec.Reset(&r.source, options...)
	return r
}}

func open(text []byte) (*reader, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: invalid UTF-8", ErrSyntax)
	}
	r := readers.Get().(*reader)
	r.text, r.deep = text, tooDeep(text)
	r.source = *bytes.NewBuffer(text) // a buffer that is only read never writes to text
	return r, nil
}

// close keeps the reader, and nothing of its text.
func (r *reader) close() {
	r.text, r.source = nil, bytes.Buffer{}
	r.dec.Reset(&r.source, options...)
	readers.Put(r)
}

func (r *reader) value() error {
	if _, err := r.dec.ReadValue(); err != nil {
		return r.refusal(err)
	}
	return r.end()
}

func (r *reader) object(f func(name, value []byte) error) error {
	if _, err := r.dec.ReadToken(); err != nil { // the brace
		return r.refusal(err)
	}
	for {
		before := int(r.dec.InputOffset())
		token, err := r.dec.ReadToken()
		if err != nil {
			return r.refusal(err)
		}
		if token.Kind() == jsontext.KindEndObject {
			return r.end()
		}
		name := r.name(before)
		value, err := r.dec.ReadValue()
		if err != nil {
			return r.refusal(err)
		}
		if r.deep >= 0 && int(r.dec.InputOffset()) > r.deep {
			return errDeep
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
}

// name returns what the name says that was read just now; before it are a comma and
// white space at most.
func (r *reader) name(before int) []byte {
	at := spaces(r.text, before)
	if r.text[at] == ',' {
		at = spaces(r.text, at+1)
	}
	quoted := r.text[at:r.dec.InputOffset()]
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	name, _ := jsontext.AppendUnquote(nil, quoted) // an error only tells of half a surrogate pair
	return name
}

// end refuses what stands behind the value.
func (r *reader) end() error {
	if r.deep >= 0 {
		return errDeep
	}
	if at := spaces(r.text, int(r.dec.InputOffset())); at < len(r.text) {
		return fmt.Errorf("%w: data after the value, at offset %d", ErrSyntax, at)
	}
	return nil
}

var errDeep = fmt.Errorf("%w: nested deeper than %d", ErrSyntax, MaxDepth)

// refusal says in our words what the decoder found. Of two mistakes it is the first.
func (r *reader) refusal(err error) error {
	at := len(r.text) // it came to the end
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		at = int(syntactic.ByteOffset)
	}
	switch {
	case r.deep >= 0 && at > r.deep:
		return errDeep
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("%w: duplicate key before offset %d", ErrSyntax, quotedEnd(r.text, at))
	default:
		return fmt.Errorf("%w: at offset %d", ErrSyntax, at)
	}
}

// spaces returns the offset of the first byte from at on that is no white space.
func spaces(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r') {
		at++
	}
	return at
}

// quotedEnd returns the offset behind the string that begins at an offset.
func quotedEnd(text []byte, at int) int {
	for at++; at < len(text) && text[at] != '"'; at++ {
		if text[at] == '\\' {
			at++
		}
	}
	return min(at+1, len(text))
}

// tooDeep returns the offset of the first bracket that is nested too deep, if a text
// is JSON; -1 if none is. Few texts have so many brackets that it must walk.
func tooDeep(text []byte) int {
	if len(text) <= MaxDepth || bytes.Count(text, openBrace)+bytes.Count(text, openBracket) <= MaxDepth {
		return -1
	}
	depth := 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '"':
			at = quotedEnd(text, at) - 1
		case '{', '[':
			if depth++; depth > MaxDepth {
				return at
			}
		case '}', ']':
			depth--
		}
	}
	return -1
}

var openBrace, openBracket = []byte("{"), []byte("[")
