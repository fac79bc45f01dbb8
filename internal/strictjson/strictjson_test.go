package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkTokens is what Check promises, said with encoding/json's tokens.
func checkTokens(text []byte) error {
	if !utf8.Valid(text) {
		return ErrSyntax
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := checkToken(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return ErrSyntax
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
	if depth == MaxDepth {
		return ErrSyntax
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
				return ErrSyntax
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

func FuzzCheck(f *testing.F) {
	for _, c := range cases() {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err, want := Check(text), checkTokens(text)
		if (err == nil) != (want == nil) {
			t.Fatalf("%q: %v, encoding/json says %v", text, err, want)
		}
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Errorf("%q: %v", text, err)
			}
			return
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

// A text and what is said of it; "" = it is taken.
type textCase struct{ text, want string }

func cases() []textCase {
	many := &strings.Builder{}
	for i := range 100 {
		fmt.Fprintf(many, `,"k%d":%d`, i, i)
	}
	const deep = "nested deeper than 64"
	return []textCase{
		{`{}`, ""}, {`[1,2.5e3,"x",null,true,{"a":{"a":1}}]`, ""}, {` "é" `, ""}, {` { "a" : [ ] } `, ""},
		{`{"a":1,"b":[true,false,null,"x\u00e9\n",-0.5e+7]}`, ""}, {`[{"a":{"a":1}},{"a":2}]`, ""},
		{`{"a\"b":" c "}`, ""},
		{`{"a":"\ud800"}`, ""}, {`{"a":"\ud83d\ude00","\ud83d\ude00":1}`, ""},
		{"{" + many.String()[1:] + "}", ""},
		{`"` + strings.Repeat(`[{`, 100) + `\"[[["`, ""},

		{`{"a":1,"a":2}`, "duplicate key before offset 10"},
		{`{"a":1,"\u0061":2}`, "duplicate key before offset 15"},
		{`{"\ud800":1,"\ud801":2}`, "duplicate key before offset 20"},
		{`{"a":{"x":1, "x" :2}}`, "duplicate key before offset 16"},
		{"{" + many.String()[1:] + `,"k39":0}`, "duplicate key before offset 886"},
		{`{"\u0000":1,"\u0000":2}`, "duplicate key before offset 20"},

		{"{\"\xff\":1}", "invalid UTF-8"}, {"\"\xff\"", "invalid UTF-8"}, {"tru\xff", "invalid UTF-8"},

		{`{} {}`, "data after the value, at offset 3"}, {`{}x`, "data after the value, at offset 2"},
		{`01`, "data after the value, at offset 1"}, {`"a" "b"`, "data after the value, at offset 4"},
		{`1 2`, "data after the value, at offset 2"}, {`{"a":1}}`, "data after the value, at offset 7"},
		{`1.5.5`, "data after the value, at offset 3"}, {`1e5x`, "data after the value, at offset 3"},

		{strings.Repeat("[", 64) + strings.Repeat("]", 64), ""},
		{strings.Repeat("[", 65) + strings.Repeat("]", 65), deep},
		{strings.Repeat(`{"a":`, 100_000), deep}, {`{"a":` + strings.Repeat("[", 70) + "x", deep},
		{`{"b":1,"b":` + strings.Repeat("[", 70), "duplicate key before offset 10"},
		{strings.Repeat(`{"a]":`, 70), deep},
		{"[" + strings.Repeat("[],", 100) + "1]", ""},
		{`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}", deep},

		{``, "at offset 0"}, {` `, "at offset 1"}, {`-`, "at offset 0"}, {`1.`, "at offset 0"},
		{`1e`, "at offset 0"}, {`.5`, "at offset 0"},
		{`"\x"`, "at offset 1"}, {`"\u12g4"`, "at offset 1"}, {"\"\x01\"", "at offset 1"},
		{`tru`, "at offset 3"}, {`'x'`, "at offset 0"},
		{`{"a" 1}`, "at offset 5"}, {`[1,]`, "at offset 3"}, {`[`, "at offset 1"}, {`{"a":`, "at offset 5"},
		{`[1 2]`, "at offset 3"},
		{`}`, "at offset 0"}, {`[}`, "at offset 1"}, {`{`, "at offset 1"}, {`{"a":}`, "at offset 5"},
		{`{1:2}`, "at offset 1"}, {"\ufeff{}", "at offset 0"},
		{`{"a":1 "b":2}`, "at offset 7"}, {`{"a":1x}`, "at offset 6"}, {`{"a":tru}`, "at offset 8"},
		{`{"a":"`, "at offset 6"}, {`{,}`, "at offset 1"},
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range cases() {
		err := Check([]byte(c.text))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%.60s: %v", c.text, err)
		case c.want != "" && (!errors.Is(err, ErrSyntax) || err.Error() != "malformed JSON: "+c.want):
			t.Errorf("%.60s: %v, want %s", c.text, err, c.want)
		}
		fields := Fields([]byte(c.text), func(_, _ []byte) error { return nil })
		if err != nil && !errors.Is(fields, ErrSyntax) {
			t.Errorf("%.60s: Fields says %v, Check %v", c.text, fields, err)
		}
	}
}

// What f does with its members, and with other texts meanwhile, is its own affair.
func TestFields(t *testing.T) {
	t.Parallel()
	text := []byte(` {"a" : {"x":1,"\u0079":[2]} , "b":"c"}`)
	var got []string
	add := func(name, value []byte) error {
		got = append(got, string(name)+"="+string(value))
		return nil
	}
	err := Fields(text, func(name, value []byte) error {
		if string(name) == "a" {
			return Fields(value, add)
		}
		return add(name, value)
	})
	if want := []string{"x=1", "y=[2]", `b="c"`}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	stop := errors.New("enough")
	if err := Fields([]byte(`{"a":1,"b":}`), func(_, _ []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("f's own error became %v", err)
	}
	if err := Fields([]byte(` [1]`), add); !errors.Is(err, ErrNoObject) {
		t.Errorf("an array: %v", err)
	}
}

// Texts come from buffers that belong to somebody: they stay as they are, and a
// reader that waits for the next one allocates nothing.
func TestLeavesTheTextAlone(t *testing.T) {
	text := []byte(`{"a":1,"b":{"c":[1,2,"x"]}} `)
	room := append(text[:len(text):len(text)], "behind"...)
	within := room[:len(text)]
	count := 0
	allocs := testing.AllocsPerRun(100, func() {
		if Check(within) != nil || Fields(within, func(_, _ []byte) error { count++; return nil }) != nil {
			t.Error("refused")
		}
	})
	if string(room) != string(text)+"behind" {
		t.Errorf("the buffer has %q", room)
	}
	if allocs > 10 { // 0; but with -race a pool forgets some of what it is given
		t.Errorf("%v allocations: the readers are not kept", allocs)
	}
}

const submission = `{"type":"math.primes","payload":{"n":100000,"note":"a text"},"priority":"high"}`

func BenchmarkCheck(b *testing.B) {
	text := []byte(submission)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := Check(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFields(b *testing.B) {
	text := []byte(submission)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Fields(text, func(_, _ []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
