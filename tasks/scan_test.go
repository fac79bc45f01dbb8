package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkTokens is what CheckJSON promises, said with encoding/json's tokens.
func checkTokens(text []byte) error {
	if !utf8.Valid(text) {
		return ErrJSON
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := checkToken(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return ErrJSON
	}
	return nil
}

func checkToken(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxDepth {
		return ErrJSON
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			name, _ := key.(string)
			if seen[name] {
				return ErrJSON
			}
			seen[name] = true
		}
		if err := checkToken(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

func FuzzCheckJSON(f *testing.F) {
	many := &strings.Builder{}
	for i := range 40 {
		fmt.Fprintf(many, `,"k%d":%d`, i, i)
	}
	for _, text := range []string{
		`{}`, `{"a":1,"b":[true,false,null,"x\u00e9\n",-0.5e+7]}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `[{"a":{"a":1}},{"a":2}]`,
		`{"` + "\xff" + `":1}`, `{} {}`, `01`, `-`, `1.`, `1e`, `.5`, `"\x"`, `"\u12g4"`, `"` + "\x01" + `"`, `tru`, `{"a" 1}`, `{"a":1,}`, `[1,]`, `[`, `{"a":`,
		strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 65) + strings.Repeat("]", 65), ` { "a" : [ ] } `, ``, `{"\ud800":1,"\ud801":2}`,
		"{" + many.String()[1:] + "}", "{" + many.String()[1:] + `,"k39":0}`, `"a" "b"`, `1 2`, `{"a\"b":" c "}`, `[1 2]`, `}`, `[}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err, want := CheckJSON(text), checkTokens(text)
		if (err == nil) != (want == nil) {
			t.Fatalf("%q: %v, encoding/json says %v", text, err, want)
		}
		if err != nil {
			if !errors.Is(err, ErrJSON) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		short, err := compact(text)
		var b bytes.Buffer
		if json.Compact(&b, text) != nil || err != nil || b.String() != string(short) {
			t.Errorf("%q: compact %q, %v, want %q", text, short, err, b.String())
		}
		var members map[string]json.RawMessage
		isObject := json.Unmarshal(text, &members) == nil && members != nil
		err = Fields(text, func(name, value []byte) error {
			if string(members[string(name)]) != string(value) {
				t.Errorf("%q: member %q is %q, want %q", text, name, value, members[string(name)])
			}
			delete(members, string(name))
			return nil
		})
		if isObject != (err == nil) || len(members) > 0 {
			t.Errorf("%q: Fields %v, without %v", text, err, members)
		}
	})
}

func BenchmarkCheckJSON(b *testing.B) {
	text := []byte(`{"type":"math.primes","payload":{"n":100000,"note":"a text of some length"},"priority":"high"}`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := CheckJSON(text); err != nil {
			b.Fatal(err)
		}
	}
}
