package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"longshore/job"
)

type color string

type leaf struct {
	Name string `json:"name"`
	Size int    `json:"size,omitempty" default:"7"`
}

type Common struct {
	Trace string `json:"trace,omitempty"`
	Level int    `json:"level,omitempty" default:"2"`
}

// A fieldCase is one row of docs/handlers.md's table: values that a field of the
// type takes, and some that it doesn't. A value comes back as it went in, but
// for what want says.
type fieldCase struct {
	name string
	info func() (Info, error)
	// decode reads a payload as a handler gets it, and writes it again.
	decode func([]byte) (string, error)
	good   map[string]string // payload → what the handler has, as JSON; "" = the same
	bad    []string
}

type box[T any] struct {
	V T `json:"v,omitempty"`
}

func boxed[T any](good map[string]string, bad ...string) fieldCase {
	return payloads[box[T]](good, bad...)
}

func payloads[P any](good map[string]string, bad ...string) fieldCase {
	d := Definition[P]{Type: "test.field", Lane: job.LaneIO}
	return fieldCase{fmt.Sprint(reflect.TypeFor[P]()), d.Info, func(payload []byte) (string, error) {
		p, err := d.Decode(payload)
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(p)
		return string(text), err
	}, good, bad}
}

func fieldCases() []fieldCase {
	same := func(texts ...string) map[string]string {
		m := map[string]string{}
		for _, text := range texts {
			m[text] = ""
		}
		return m
	}
	type enums struct {
		Color  color   `json:"color" enum:"red,green"`
		Level  int     `json:"level,omitempty" enum:"1,2"`
		Colors []color `json:"colors,omitempty" enum:"red,green"`
	}
	type embeds struct {
		Common
		*Common2
		Own int `json:"own,omitempty"`
	}
	type nested struct {
		Leaf  leaf            `json:"leaf,omitempty"`
		Maybe *leaf           `json:"maybe,omitempty"`
		List  []leaf          `json:"list,omitempty"`
		Map   map[string]leaf `json:"map,omitempty"`
	}
	type named struct {
		Common `json:"common"`
	}
	type untagged struct{ Plain int }
	type zero struct {
		When time.Time `json:"when,omitzero"`
	}
	return []fieldCase{
		boxed[string](same(`{"v":"ü"}`), `{"v":1}`),
		boxed[bool](same(`{"v":true}`), `{"v":"true"}`),
		boxed[int](map[string]string{`{"v":1e3}`: `{"v":1000}`, `{"v":1.0}`: `{"v":1}`}, `{"v":1e30}`),
		boxed[int](same(`{"v":9007199254740993}`, `{"v":-9223372036854775808}`, `{"v":9223372036854775807}`),
			`{"v":9223372036854775808}`, `{"v":1.5}`, `{"v":"1"}`, `{"v":[1]}`),
		boxed[int8](same(`{"v":-128}`, `{"v":127}`), `{"v":128}`, `{"v":-129}`),
		boxed[int16](same(`{"v":-32768}`), `{"v":32768}`),
		boxed[int32](same(`{"v":2147483647}`), `{"v":2147483648}`),
		boxed[uint](same(`{"v":18446744073709551615}`), `{"v":18446744073709551616}`, `{"v":-1}`),
		boxed[uint8](same(`{"v":255}`), `{"v":256}`, `{"v":-1}`),
		boxed[uint64](same(`{"v":18446744073709551615}`), `{"v":1e20}`),
		boxed[float64](map[string]string{`{"v":1.5}`: "", `{"v":1e3}`: `{"v":1000}`}, `{"v":"1"}`),
		boxed[float32](same(`{"v":1.5}`), `{"v":1e39}`),
		boxed[time.Duration](same(`{"v":1000000000}`), `{"v":"1s"}`),
		boxed[[]string](map[string]string{`{"v":["a"]}`: "", `{"v":null}`: `{}`, `{"v":[]}`: `{}`},
			`{"v":"a"}`, `{"v":[1]}`, `{"v":[null]}`),
		boxed[[]int](same(`{"v":[1,2]}`), `{"v":[1.5]}`),
		boxed[[][]int](same(`{"v":[[1],[2,3]]}`), `{"v":[[1.5]]}`),
		boxed[[3]int](same(`{"v":[1,2,3]}`), `{"v":[1,2]}`, `{"v":[1,2,3,4]}`),
		boxed[[]byte](same(`{"v":"AP8="}`), `{"v":"not base64!"}`, `{"v":[1,2]}`),
		boxed[*string](map[string]string{`{"v":"a"}`: ""}, `{"v":1}`),
		boxed[**int](same(`{"v":5}`), `{"v":"5"}`),
		boxed[[]*int](same(`{"v":[1,null]}`), `{"v":["1"]}`),
		payloads[struct {
			V *int `json:"v"`
		}](same(`{"v":5}`, `{"v":null}`), `{}`, `{"v":"5"}`),
		boxed[map[string]int](same(`{"v":{"a":1,"b/c":2}}`), `{"v":{"a":"1"}}`, `{"v":{"a":1.5}}`,
			`{"v":[]}`),
		boxed[map[color][]string](map[string]string{`{"v":{"a":["x"]}}`: "", `{"v":{"a":null}}`: ""},
			`{"v":{"a":[1]}}`),
		boxed[map[string]map[string]uint8](same(`{"v":{"a":{"b":255}}}`), `{"v":{"a":{"b":256}}}`),
		boxed[map[string]any](same(`{"v":{"a":[1,{"b":null}]}}`), `{"v":1}`),
		boxed[any](same(`{"v":[1,{"b":"c"}]}`, `{"v":"a"}`)),
		boxed[json.RawMessage](same(`{"v":{"n":12345678901234567890}}`, `{"v":[1]}`, `{"v":"a"}`)),
		boxed[time.Time](map[string]string{`{"v":"2026-01-02T03:04:05Z"}`: ""}, `{"v":"yesterday"}`,
			`{"v":1}`),
		boxed[*time.Time](same(`{"v":"2026-01-02T03:04:05.5+02:00"}`), `{"v":"2026-01-02"}`),
		boxed[netip.Addr](same(`{"v":"::1"}`, `{"v":"10.0.0.1"}`), `{"v":"10.0.0"}`),
		payloads[zero](map[string]string{`{}`: "", `{"when":"2026-01-02T03:04:05Z"}`: ""}, `{"when":7}`),
		payloads[untagged](same(`{"Plain":1}`), `{"Plain":"1"}`, `{}`),
		payloads[enums](same(`{"color":"red"}`, `{"color":"green","level":2,"colors":["red","green"]}`),
			`{"color":"blue"}`, `{"color":"red","level":3}`, `{"color":"red","colors":["blue"]}`, `{}`),
		payloads[nested](map[string]string{
			`{"leaf":{"name":"a"}}`:                                   `{"leaf":{"name":"a","size":7}}`,
			`{"leaf":{"name":"a","size":1},"maybe":{"name":"b"}}`:     "",
			`{"leaf":{"name":"a","size":1},"list":[{"name":"c"}]}`:    "",
			`{"leaf":{"name":"a","size":1},"map":{"k":{"name":"d"}}}`: "",
		}, `{"leaf":{}}`, `{"leaf":{"name":1}}`, `{"leaf":{"name":"a","x":1}}`, `{"list":[{}]}`,
			`{"map":{"k":{"size":1}}}`, `{"maybe":{"name":"b","y":2}}`),
		payloads[embeds](map[string]string{
			`{"trace":"t","level":9,"own":1}`: "",
			`{"own":1}`:                       `{"level":2,"own":1}`,
		}, `{"Common":{}}`, `{"trace":1}`),
		payloads[named](map[string]string{`{"common":{"trace":"t"}}`: `{"common":{"trace":"t","level":2}}`},
			`{"trace":"t"}`),
	}
}

type Common2 struct {
	Extra *int `json:"extra,omitempty"`
}

// TestFieldTypes takes each type from its definition through Redis to the
// handler: a program that knows the type from code and one that knows it from
// Redis judge alike, and what they take the handler can read.
func TestFieldTypes(t *testing.T) {
	t.Parallel()
	for _, c := range fieldCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			info, err := c.info()
			if err != nil {
				t.Fatal(err)
			}
			fromCode, err1 := NewCatalog(info)
			fromRedis, err2 := NewCatalog(published(t, info))
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			for who, catalog := range map[string]*Catalog{"code": fromCode, "redis": fromRedis} {
				for payload, want := range c.good {
					checked, err := catalog.Check("test.field", []byte(payload))
					if err != nil {
						t.Errorf("%s refuses %s: %v", who, payload, err)
						continue
					}
					if want == "" {
						want = payload
					}
					if got, err := c.decode(checked); err != nil || !sameJSON(got, want) {
						t.Errorf("%s took %s; the handler has %s, %v, want %s", who, payload, got, err, want)
					}
				}
				for _, payload := range c.bad {
					if _, err := catalog.Check("test.field", []byte(payload)); err == nil {
						t.Errorf("%s takes %s", who, payload)
					} else if errors.Is(err, ErrJSON) {
						t.Errorf("%s: %s is no JSON: the case is wrong", who, payload)
					}
				}
			}
		})
	}
}

// sameJSON compares texts without regard to the order of members; numbers by their text.
func sameJSON(a, b string) bool {
	read := func(text string) (v any) {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if dec.Decode(&v) != nil {
			return errors.New("no JSON")
		}
		return v
	}
	return reflect.DeepEqual(read(a), read(b))
}

type knot struct {
	Next *knot `json:"next,omitempty"`
}

type unexported struct {
	A int `json:"a"`
}

// TestFieldTypesThatCantBe holds that what can't work is refused where it is
// registered, with the field's name and what to do.
func TestFieldTypesThatCantBe(t *testing.T) {
	t.Parallel()
	type hidden struct{ unexported }
	type text string
	type Word string
	type words struct{ Word }
	type double struct {
		Common
		Depth int `json:"level,omitempty"`
	}
	type shadow struct {
		Common
		Trace string `json:"mark,omitempty"`
	}
	type late struct{ time.Time }
	type asText struct {
		N int `json:"n,string"`
	}
	type deflt struct {
		M map[string]int `json:"m,omitempty" default:"{\"a\":1}"`
	}
	type tag struct {
		N int `json:"n" minimum:"few"`
	}
	type wrongDefault struct {
		N int `json:"n,omitempty" default:"few"`
	}
	type pattern struct {
		S string `json:"s" pattern:"("`
	}
	_ = text("")
	for _, c := range []struct {
		fieldCase
		want string
	}{
		{boxed[func()](nil), `json:"-"`}, {boxed[chan int](nil), "payload.V"},
		{boxed[complex128](nil), "no form in JSON"}, {boxed[[]func()](nil), "payload.V[]"},
		{boxed[uintptr](nil), "no form"}, {boxed[error](nil), "interface with methods"},
		{boxed[map[int]string](nil), "map[string]"}, {boxed[map[netip.Addr]string](nil), "map[string]"},
		{boxed[[4]byte](nil), "use []byte"}, {boxed[json.Number](nil), "json.Number"},
		{boxed[big.Int](nil), "json.RawMessage"}, {boxed[url.URL](nil), "payload.V"},
		{boxed[knot](nil), "stands in itself"}, {payloads[knot](nil), "stands in itself"},
		{payloads[hidden](nil), "not exported"}, {payloads[words](nil), "needs a name"},
		{payloads[double](nil), "two fields"}, {payloads[shadow](nil), "two fields"},
		{payloads[late](nil), "payload"}, {payloads[asText](nil), "string"},
		{payloads[deflt](nil), "default"}, {payloads[tag](nil), "few"}, {payloads[wrongDefault](nil), "few"},
		{payloads[pattern](nil), "missing closing"}, {payloads[map[string]int](nil), "must be an object"},
		{payloads[*leaf](nil), "must be an object"}, {payloads[[]int](nil), "must be an object"},
	} {
		_, err := c.info()
		if err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), `"test.field"`) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestPublishedSchemas holds that no published schema takes a program down.
func TestPublishedSchemas(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"type":"object","properties":{"a":`, 80) + `{}` + strings.Repeat(`}}`, 80)
	for _, schema := range []string{
		`7`, `null`, `[]`, `{}`, `{"type":"array"}`, `{"type":["object","array"]}`, `{"type":[]}`,
		`{"type":"object","properties":{"a":7}}`,
		`{"type":"object","properties":{"a":{"type":"string","pattern":"("}}}`,
		`{"type":"object","properties":{"a":{"$ref":"#/x"}}}`,
		`{"type":"object","additionalProperties":{"type":"string","pattern":"["}}`,
		`{"type":"object","properties":{"a":{"items":3,"minimum":"x"}}}`, deep,
	} {
		info := Info{Type: "test.field", Lane: job.LaneIO, TimeoutMS: 1000, MaxAttempts: 1, Input: NoInput,
			Schema: json.RawMessage(schema)}
		if _, err := NewCatalog(info); err == nil {
			t.Errorf("%.80s is taken", schema)
		}
	}
}

// TestQueryOfFieldTypes holds how fields are written as --set name=value and in a query string.
func TestQueryOfFieldTypes(t *testing.T) {
	t.Parallel()
	type fields struct {
		List  []string        `json:"list,omitempty"`
		Nums  []int           `json:"nums,omitempty"`
		Leafs []leaf          `json:"leafs,omitempty"`
		Map   map[string]int  `json:"map,omitempty"`
		Raw   json.RawMessage `json:"raw,omitempty"`
		When  *time.Time      `json:"when,omitempty"`
		Big   uint64          `json:"big,omitempty"`
	}
	info, err := Definition[fields]{Type: "test.field", Lane: job.LaneIO}.Info()
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := NewCatalog(published(t, info))
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"list=a,b&list=c":  `{"list":["a","b","c"]}`,
		`list=["a,b","c"]`: `{"list":["a,b","c"]}`,
		"nums=1,2":         `{"nums":[1,2]}`,
		`leafs={"name":"a","size":1}&leafs={"name":"b"}`: `{"leafs":[{"name":"a","size":1},{"name":"b"}]}`,
		`leafs=[{"name":"a"}]`:                           `{"leafs":[{"name":"a"}]}`,
		`map={"a":1}`:                                    `{"map":{"a":1}}`,
		`raw={"n":12345678901234567890}`:                 `{"raw":{"n":12345678901234567890}}`,
		"when=2026-01-02T03:04:05Z":                      `{"when":"2026-01-02T03:04:05Z"}`,
		"big=18446744073709551615":                       `{"big":18446744073709551615}`,
		"nums=1,x":                                       "", `leafs=x`: "", `map={`: "", "big=-1": "",
		`nums=[1,`: "", `raw=`: "",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := catalog.FromQuery("test.field", values)
		if err == nil {
			payload, err = catalog.Check("test.field", payload)
		}
		if want == "" && err == nil || want != "" && (err != nil || !sameJSON(string(payload), want)) {
			t.Errorf("%s: %s, %v, want %q", query, payload, err, want)
		}
	}
}
