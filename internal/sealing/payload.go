package sealing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Hidden is what readers see in the place of a sealed value.
const Hidden = "•••"

// errNoPlace says that a pointer names nothing.
var errNoPlace = errors.New("there is nothing at this place")

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// Edit returns JSON in which the values at some JSON Pointers are what f makes of them.
func Edit(doc []byte, pointers []string,
	f func(pointer string, value []byte) ([]byte, error)) ([]byte, error) {
	for _, p := range pointers {
		var err error
		if doc, err = edit(doc, p, strings.Split(strings.TrimPrefix(p, "/"), "/"), f); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
	}
	return doc, nil
}

func edit(doc []byte, at string, words []string, f func(string, []byte) ([]byte, error)) ([]byte, error) {
	if len(words) == 0 {
		return f(at, doc)
	}
	word := unescape.Replace(words[0])
	if bytes.HasPrefix(bytes.TrimSpace(doc), []byte("[")) {
		var list []json.RawMessage
		i, err := strconv.Atoi(word)
		if json.Unmarshal(doc, &list) != nil || err != nil || i < 0 || i >= len(list) {
			return nil, errNoPlace
		}
		if list[i], err = edit(list[i], at, words[1:], f); err != nil {
			return nil, err
		}
		return json.Marshal(list)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(doc, &object) != nil || object[word] == nil {
		return nil, errNoPlace
	}
	value, err := edit(object[word], at, words[1:], f)
	if err != nil {
		return nil, err
	}
	object[word] = value
	return json.Marshal(object)
}

// Payload seals the values at some places of a job's payload. digest is the payload with what stands for
// the values in their place.
func (s *Sealer) Payload(typ string, payload []byte, places []string) (sealed, digest []byte, err error) {
	if digest, err = Edit(payload, places, func(at string, value []byte) ([]byte, error) {
		return json.Marshal(s.Digest(typ+at, string(value)))
	}); err != nil {
		return nil, nil, err
	}
	sealed, err = Edit(payload, places, func(at string, value []byte) ([]byte, error) {
		return json.Marshal(s.Seal(typ+at, string(value)))
	})
	return sealed, digest, err
}

// OpenPayload opens what Payload sealed. The error wraps ErrKey or ErrBroken.
func (s *Sealer) OpenPayload(typ string, payload []byte, places []string) ([]byte, error) {
	return Edit(payload, places, func(at string, value []byte) ([]byte, error) {
		var sealed string
		if json.Unmarshal(value, &sealed) != nil {
			return nil, ErrBroken
		}
		text, err := s.Open(typ+at, sealed)
		if err == nil && !json.Valid([]byte(text)) {
			err = ErrBroken
		}
		return []byte(text), err
	})
}

// Hide returns a payload that says nothing of what is sealed in it.
func Hide(payload []byte, places []string) []byte {
	if len(places) == 0 {
		return payload
	}
	hidden, err := Edit(payload, places, func(string, []byte) ([]byte, error) {
		return json.Marshal(Hidden)
	})
	if err != nil { // nobody of ours wrote it: rather say nothing
		return []byte("{}")
	}
	return hidden
}
