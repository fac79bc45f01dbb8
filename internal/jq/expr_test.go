package jq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/itchyny/gojq"
	"pgregory.net/rapid"
)

func match(t testing.TB, source, record string) (bool, error) {
	t.Helper()
	e, err := Compile(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	b := Padded([]byte(record))
	return NewMachine(context.Background(), e).Match(b, 0, len(b))
}

// oracle answers as gojq does on a record that encoding/json decoded.
func oracle(source, record string) (bool, error) {
	query, err := gojq.Parse(source)
	if err != nil {
		return false, err
	}
	dec := json.NewDecoder(strings.NewReader(record))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return false, err
	}
	iter, keep := query.Run(v), false
	for {
		v, ok := iter.Next()
		if !ok {
			return keep, nil
		}
		if err, bad := v.(error); bad {
			return false, err
		}
		keep = keep || v != nil && v != false
	}
}

func TestFastExpressions(t *testing.T) {
	t.Parallel()
	for source, fast := range map[string]bool{
		".status >= 500":                         true,
		`.a.b == "x" and (.c < 1.5 or .d | not)`: true,
		`."a b" != null`:                         true,
		`select(.a == -1)`:                       true,
		`.`:                                      true,
		`true`:                                   true,
		`.a`:                                     true,
		`(.a.b) == .c`:                           true,
		`.a[0] == 1`:                             false,
		`.a[]`:                                   false,
		`.a? == 1`:                               false,
		`.a + 1 == 2`:                            false,
		`"\(.a)" == "1"`:                         false,
		`.a == 1 | . and true`:                   false,
		`.a as $x | $x == 1`:                     false,
		`def f: .a; f == 1`:                      false,
		`[.a] == [1]`:                            false,
		`.a[1:] == "x"`:                          false,
		`def not: true; .a | not`:                false,
		`.status >= 500, false`:                  false,
		`.a == 1e2 and .b == 0.5 and .c == .5`:   false,
		`if .a then true else false end`:         false,
		`.a == 1 and (.b | length > 2)`:          false,
		`.a == 123456789012345678901234567890123`: true,
	} {
		e, err := Compile(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if e.Fast() != fast {
			t.Errorf("%s: fast is %t", source, e.Fast())
		}
	}
}

// pieces from which records and expressions are put together.
var (
	names  = []string{"a", "b", "status", "a b", "é", `\`, `\\`}
	values = []string{"null", "true", "false", "0", "-0", "1", "1.0", "1e0", "10", "9", "-1", "0.1", "1e400",
		"-1e400", "123456789012345678",
		"1234567890123456789", "9007199254740993", "9007199254740992.0", "123456789012345678901234567890",
		`""`, `"a"`, `"b"`, `"ab"`, `"A"`,
		`"\u0061"`, `"é"`, `"\u00e9"`, `"\ud800"`, `"\n"`, `"\\"`, `"\/"`, "[]", "[1]", "[1.0]", "{}",
		`{"a":1}`, `{"b":2,"a":1}`, `{"a":{"b":3}}`}
	literals = append([]string{"null", "true", "false", "-1", "1.5", ".5", "1e3", "007"}, values[3:31]...)
)

func drawRecord(t *rapid.T) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range rapid.IntRange(0, 5).Draw(t, "members") {
		if i > 0 {
			b.WriteString(rapid.SampledFrom([]string{",", " , "}).Draw(t, "comma"))
		}
		name := rapid.SampledFrom(names).Draw(t, "name")
		key, _ := json.Marshal(name)
		if name == "a" && rapid.Bool().Draw(t, "escaped") {
			key = []byte(`"\u0061"`)
		}
		fmt.Fprintf(&b, "%s:%s", key, rapid.SampledFrom(values).Draw(t, "value"))
	}
	b.WriteString("}")
	return rapid.SampledFrom([]string{b.String(), b.String(), b.String(), " " + b.String() + "\r",
		rapid.SampledFrom(values).Draw(t, "scalar")}).Draw(t, "record")
}

func drawOperand(t *rapid.T) string {
	if rapid.Bool().Draw(t, "literal") {
		return rapid.SampledFrom(literals).Draw(t, "literal")
	}
	path := "." + rapid.SampledFrom([]string{"a", "b", "status", `"a b"`, `"é"`, `"\\"`, `"\\\\"`}).
		Draw(t, "path")
	if rapid.IntRange(0, 3).Draw(t, "deeper") == 0 {
		path += rapid.SampledFrom([]string{".a", ".b", `["a"]`}).Draw(t, "path")
	}
	return path
}

func drawExpression(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 {
		kind = min(kind, 2)
	}
	switch kind {
	case 0:
		return drawOperand(t)
	case 3:
		return drawExpression(t, depth-1) + " and " + drawExpression(t, depth-1)
	case 4:
		return "(" + drawExpression(t, depth-1) + " or " + drawExpression(t, depth-1) + ")"
	case 5:
		return "(" + drawExpression(t, depth-1) + " | not)"
	case 6:
		return "select(" + drawExpression(t, depth-1) + ")"
	default:
		op := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(t, "op")
		return drawOperand(t) + " " + op + " " + drawOperand(t)
	}
}

// agree checks an expression's answer on a record against gojq's.
func agree(t interface{ Fatalf(string, ...any) }, source, record string) {
	e, err := Compile(source)
	want, wantErr := oracle(source, record)
	if err != nil {
		return // it is no expression
	}
	b := Padded([]byte(record))
	got, gotErr := NewMachine(context.Background(), e).Match(b, 0, len(b))
	if got != want || (gotErr == nil) != (wantErr == nil) {
		t.Fatalf("%s of %s: got %t, %v, want %t, %v", source, record, got, gotErr, want, wantErr)
	}
}

func TestMatchAsGojqDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { agree(t, drawExpression(t, 2), drawRecord(t)) })
}

func FuzzMatch(f *testing.F) {
	f.Add(".status >= 500", `{"status":503}`)
	f.Add(`.a.b == "x" and (.c | not)`, `{"a":{"b":"\u0078"},"c":null}`)
	f.Add(`.a > .b`, `{"a":1e400,"b":[1],"a":2}`)
	f.Fuzz(func(t *testing.T, source, record string) {
		query, err := gojq.Parse(source)
		if err != nil {
			return
		}
		if _, _, ok := compileTest(query); !ok || !json.Valid([]byte(record)) {
			return
		}
		b := Padded([]byte(record))
		if strings.Contains(record, "\n") || newScanner(nil).scan(b, 0, len(b)) != nil {
			return
		}
		agree(t, source, record)
	})
}

func TestMatchErrors(t *testing.T) {
	t.Parallel()
	for _, source := range []string{".a.b == 1", "[.a.b][0] == 1"} {
		var value *ValueError
		if _, err := match(t, source, `{"a":5}`); !errors.As(err, &value) {
			t.Errorf("%s: %v", source, err)
		}
		if keep, err := match(t, source, `{"a":null}`); keep || err != nil {
			t.Errorf("%s: %t, %v", source, keep, err)
		}
	}
	for _, source := range []string{"[range(1e12)] | length == 0", "def f: f; f", "last(repeat(1))",
		"[limit(1e9; repeat(1))]", "reduce range(1e12) as $i (0; . + $i) > 0"} {
		if _, err := match(t, source, "{}"); !errors.Is(err, ErrSteps) {
			t.Errorf("%s: %v", source, err)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("stopped")
	cancel(cause)
	e, err := Compile("[.a]")
	if err != nil {
		t.Fatal(err)
	}
	b := Padded([]byte("{}"))
	if _, err := NewMachine(ctx, e).Match(b, 0, len(b)); !errors.Is(err, cause) {
		t.Errorf("canceled: %v", err)
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"", ".a ==", "nosuch(1)", "input", "inputs", `import "x" as x; .`,
		strings.Repeat(" ", MaxSource) + "."} {
		if _, err := Compile(source); err == nil {
			t.Errorf("%.20q: no error", source)
		}
	}
	if keep, err := match(t, `env == {} and $ENV == {}`, "{}"); !keep || err != nil {
		t.Errorf("the environment is seen: %t, %v", keep, err)
	}
}

func mapped(source, record string) (string, error) {
	e, err := Compile(source)
	if err != nil {
		return "", err
	}
	var out []string
	b := Padded([]byte(record))
	err = NewMachine(context.Background(), e).Map(b, 0, len(b), 1000, func(text []byte) error {
		out = append(out, string(text))
		return nil
	})
	return strings.Join(out, "\n"), err
}

func TestMap(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ source, record, want string }{
		{".", `{"b":1.0,"a":12345678901234567890.10,"c":[1e2,-0]}`,
			`{"b":1.0,"a":12345678901234567890.10,"c":[1e2,-0]}`},
		{".a, .b", `{"a":"\u00e9\n","b":"<\u2028\"\\>"}`, "\"é\\n\"\n\"<\u2028\\\"\\\\>\""},
		{"empty", "{}", ""},
		{".[]", `[1,"x",null]`, "1\n\"x\"\nnull"},
		{".a + 1", `{"a":41}`, "42"},
		{"1, halt, 2", `{}`, "1"},
	} {
		if got, err := mapped(test.source, test.record); got != test.want || err != nil {
			t.Errorf("%s of %s: got %s, %v, want %s", test.source, test.record, got, err, test.want)
		}
	}
	// A value that holds itself many times over is small in memory only.
	if _, err := mapped("reduce range(60) as $i (1; [., .])", "{}"); !errors.Is(err, ErrTooLong) {
		t.Errorf("doubled: %v", err)
	}
}

func TestScanAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, text := range scanCorpus {
		checkScan(t, []byte(text))
	}
}

var scanCorpus = []string{"", " ", "1", "-", "-1.5e+3", "01", "1.", ".5", "1e", `"a`, `"\x"`, `"\u12g4"`,
	`"\u1234"`, "\"\x01\"", "[1,]", "[,]", "{}", `{"a"}`, `{"a":}`,
	`{"a":1,}`, `{"a":1 "b":2}`, `{"a":[{"b":null}]}`, "nul", "true1", "truefalse", "[1] 2", "tru",
	`{"aaaaaaaaaaaaaaaaaaaaaa":"bbbbbbbbbbbbbbbbbbbbbbb"}`,
	"\xff", "\"\xff\"", "\"é\"", strings.Repeat("[", 600) + strings.Repeat("]", 600), "\r[]\t", "[1\v]",
	`{"a":1}}`, "-0", "- 1", "+1", "NaN"}

// checkScan compares the scanner with encoding/json, which takes invalid UTF-8
// and deeper nesting.
func checkScan(t *testing.T, text []byte) {
	if bytes.IndexByte(text, '\n') >= 0 {
		return
	}
	b := Padded(text)
	err := newScanner([][]string{{"a"}, {"a", "b"}}).scan(b, 0, len(b))
	if err == nil != (json.Valid(text) && bytes.Equal(bytes.ToValidUTF8(text, []byte("?")), text) &&
		!tooDeep(err)) && !tooDeep(err) {
		t.Fatalf("%q: %v", text, err)
	}
	if err != nil {
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(text) {
			t.Fatalf("%q: %v", text, err)
		}
		return
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var want any
	if err := dec.Decode(&want); err != nil {
		t.Fatal(err)
	}
	// By way of text, for short integers are of another type.
	got, err := gojq.Marshal(decode(text))
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := gojq.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(wanted), string(got)); diff != "" {
		t.Fatalf("%q (-want +got):\n%s", text, diff)
	}
}

func tooDeep(err error) bool {
	return err != nil && strings.Contains(err.Error(), "deep")
}

func FuzzScan(f *testing.F) {
	for _, text := range scanCorpus {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { checkScan(t, text) })
}

func FuzzQuote(f *testing.F) {
	f.Add([]byte("a\"\\\n\x00é\xff\u2028 long enough for eight bytes at once"))
	f.Fuzz(func(t *testing.T, s []byte) {
		quoted := AppendString(nil, s)
		var back string
		if err := json.Unmarshal(quoted, &back); err != nil {
			t.Fatalf("%q: %v", quoted, err)
		}
		if want := strings.ToValidUTF8(string(s), "\uFFFD"); len(want) <= len(s) &&
			back != strings.Join(strings.Split(string([]rune(string(s))), ""), "") {
			t.Fatalf("%q became %q", s, back)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	var data []byte
	var ends []int
	for len(data) < 8<<20 {
		data = fmt.Appendf(data,
			`{"id":%d,"time":"2025-03-01T12:00:%02dZ","host":"web-%d","method":"GET","path":"/api/v1/things/%d","status":%d,"bytes":%d,"ms":%d.%d,"user":{"name":"user%d","plan":"free"},"ok":true}`,
			rng.IntN(1e9), rng.IntN(60), rng.IntN(9), rng.IntN(1e6), 200+100*rng.IntN(4), rng.IntN(1e6),
			rng.IntN(100), rng.IntN(1000), rng.IntN(1e5))
		ends = append(ends, len(data))
		data = append(data, '\n')
	}
	n := len(data)
	data = append(data, make([]byte, Pad)...)[:n]
	for _, source := range []string{".status >= 500", `.user.plan == "free" and .ms < 50`,
		"[.status][0] >= 500"} {
		b.Run(source, func(b *testing.B) {
			e, err := Compile(source)
			if err != nil {
				b.Fatal(err)
			}
			m := NewMachine(b.Context(), e)
			b.SetBytes(int64(n))
			for b.Loop() {
				start := 0
				for _, end := range ends {
					if _, err := m.Match(data, start, end); err != nil {
						b.Fatal(err)
					}
					start = end + 1
				}
			}
		})
	}
}
