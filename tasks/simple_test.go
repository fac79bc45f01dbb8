package tasks

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"longshore/job"
)

type flat struct {
	Name  string    `json:"name" minLength:"2" maxLength:"5"`
	Mode  string    `json:"mode,omitempty" enum:"fast,slow"`
	Word  string    `json:"word,omitempty" pattern:"^x"`
	Count int64     `json:"count" minimum:"-3" maximum:"900"`
	Size  uint64    `json:"size,omitempty"`
	Small int8      `json:"small,omitempty"`
	Ratio float64   `json:"ratio,omitempty" exclusiveMaximum:"7"`
	Share float64   `json:"share,omitempty" minimum:"0.5"`
	Loud  bool      `json:"loud,omitempty"`
	Text  *int64    `json:"text,omitempty"`
	When  time.Time `json:"when,omitempty"`
	Tags  []string  `json:"tags,omitempty" nullable:"false"`
}

// twice has names that huma takes one for the other.
type twice struct {
	A int64 `json:"a,omitempty" maximum:"1"`
	B int64 `json:"A,omitempty" minimum:"5"`
}

// simpleCatalog has types of every kind of simplicity, from code and from Redis.
func simpleCatalog(t testing.TB) *Catalog {
	t.Helper()
	infos := []Info{}
	add := func(info Info, err error) {
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, info)
	}
	add(Definition[flat]{Type: "test.flat", Lane: job.LaneIO}.Info())
	add(Definition[flat]{Type: "test.known", Lane: job.LaneIO, Check: func(f flat) error {
		if f.Count == 1 {
			return errors.New("one is none")
		}
		return nil
	}}.Info())
	add(Definition[twice]{Type: "test.twice", Lane: job.LaneIO}.Info())
	add(sampleTask.Info())
	builtIn, err := BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	infos = append(infos, builtIn...)
	for _, info := range infos {
		info.Type, info.check, info.simple = "redis."+info.Type, nil, nil
		infos = append(infos, info)
	}
	catalog, err := NewCatalog(infos...)
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

// What the simple check is there for, it must take: else it is never used.
func TestSimpleCheck(t *testing.T) {
	t.Parallel()
	catalog := simpleCatalog(t)
	for _, c := range []struct {
		typ, payload string
		want         bool
	}{
		{"math.primes", `{"n":100}`, true},
		{"redis.math.primes", `{"n":0}`, true},
		{"math.primes", `{"n":-1}`, false},
		{"math.primes", `{"n":1e3}`, false},
		{"math.primes", `{}`, false},
		{"log.analyze", `{}`, false},
		{"log.analyze", `{"format":"common","top":5}`, false},
		{"test.flat", `{"name":"ab","count":-3,"loud":true,"mode":"slow","size":7,"share":1}`, true},
		{"test.flat", `{"name":"ab","count":999999999999999}`, false},
		{"test.flat", `{"name":"ab","count":1,"count":1}`, false},
		{"test.flat", `{"name":"ab","count":1,"small":1}`, false},
		{"redis.test.flat", `{"name":"ab","count":1,"small":1}`, true},
		{"test.known", `{"name":"ab","count":2}`, false},
		{"test.twice", `{"a":1}`, false},
	} {
		if got := catalog.types[c.typ].simple.check([]byte(c.payload)) == nil; got != c.want {
			t.Errorf("%s: %s: %v", c.typ, c.payload, got)
		}
	}
}

// FuzzSimpleCheck holds that whatever the simple check accepts, the whole one
// does, and returns the same.
func FuzzSimpleCheck(f *testing.F) {
	for _, payload := range []string{
		`{}`, `{"n":7}`, `{"n":07}`, `{"n":-0}`, `{"n":999999999999999}`, `{"n":1.0}`, `{"n":7,}`,
		`{"n":7}}`, `{"n":7}{`, `{"n":7{`, `{"a":1}`, `{"A":7}`,
		`{"name":"ab","count":-3,"mode":"slow","size":0,"share":1,"loud":false}`,
		`{"name":"ab","count":1,"size":-0}`, `{"name":"ab","count":1,"size":-1}`,
		`{"name":"ab","count":1,"small":300}`, `{"name":"ab","count":1,"word":"y"}`,
		`{"name":"ab","count":1,"ratio":7}`, `{"name":"ab","count":1,"text":1}`,
		`{"name":"ab","count":1,"when":"now"}`, `{"name":"abcdef","count":1}`, `{"name":"é","count":1}`,
		`{"name":"a\"","count":1}`, `{"name":"ab","count":null}`,
		`{"count":1}`, `{"name":"nobody"}`, `{"name":"ab","mode":"other","count":1}`,
		`{"name":"ab","count":1,"tags":[]}`, `{"name":"ab","count":true}`, `{"loud":truefalse}`,
	} {
		f.Add(payload)
	}
	catalog := simpleCatalog(f)
	f.Fuzz(func(t *testing.T, payload string) {
		for typ, e := range catalog.types {
			switch err := e.simple.check([]byte(payload)); {
			case err == nil:
				if whole, err := e.check([]byte(payload), true); err != nil {
					t.Errorf("%s: %q is accepted, but: %q, %v", typ, payload, whole, err)
				}
			case errors.Is(err, ErrJSON):
				if _, whole := e.check([]byte(payload), true); !errors.Is(whole, ErrJSON) {
					t.Errorf("%s: %q: %v, but: %v", typ, payload, err, whole)
				}
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	catalog := simpleCatalog(b)
	for _, payload := range []string{`{"n":100}`, `{"n": 100}`} {
		b.Run(fmt.Sprintf("%d bytes", len(payload)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := catalog.Check("math.primes", []byte(payload)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
