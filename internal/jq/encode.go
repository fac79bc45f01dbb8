package jq

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/itchyny/gojq"
)

// errTooLong says that a value doesn't fit into its record; a value that holds
// one part many times over can be far longer as text than it is in memory.
var errTooLong = errors.New("record too long")

// encoder appends values as gojq.Marshal writes them, up to a limit, but with
// members in their order.
type encoder struct {
	b       []byte
	max     int // of len(b)
	members *members
}

func (e *encoder) value(v any, o *memberOrder) error {
	if len(e.b) > e.max {
		return errTooLong
	}
	switch v := v.(type) {
	case string:
		if len(v) > e.max-len(e.b) { // it gets no shorter
			return errTooLong
		}
		e.b = AppendString(e.b, v)
	case json.Number:
		e.b = append(e.b, v...)
	case []any:
		e.b = append(e.b, '[')
		elem := o.child(anyElement)
		for i, x := range v {
			if i > 0 {
				e.b = append(e.b, ',')
			}
			if err := e.value(x, elem); err != nil {
				return err
			}
		}
		e.b = append(e.b, ']')
	case map[string]any:
		e.b = append(e.b, '{')
		names, o := e.members.arrange(v, o)
		for i, key := range names {
			if i > 0 {
				e.b = append(e.b, ',')
			}
			if err := e.value(key, nil); err != nil {
				return err
			}
			e.b = append(e.b, ':')
			if err := e.value(v[key], o.child(key)); err != nil {
				return err
			}
		}
		e.b = append(e.b, '}')
	case *big.Int:
		if v.BitLen()/4 > e.max { // more than four bits make no digit
			return errTooLong
		}
		e.b = v.Append(e.b, 10)
	default:
		text, err := gojq.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode value: %w", err)
		}
		e.b = append(e.b, text...)
	}
	return nil
}
