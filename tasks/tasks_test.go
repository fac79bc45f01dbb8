package tasks

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

type sample struct {
	Name  string   `json:"name" minLength:"2" maxLength:"10" doc:"who"`
	Count int      `json:"count,omitempty" minimum:"1" maximum:"9" default:"3"`
	Tags  []string `json:"tags,omitempty" enum:"a,b" nullable:"false"`
	Loud  bool     `json:"loud,omitempty"`
	Ratio float64  `json:"ratio,omitempty"`
	Deep  struct {
		Level int `json:"level" minimum:"0"`
	} `json:"deep,omitempty"`
}

var sampleTask = Definition[sample]{Type: "test.sample", Doc: "A sample.", Lane: job.LaneIO,
	Check: func(s sample) error {
		if s.Name == "nobody" {
			return errors.New("name must be somebody's")
		}
		return nil
	}}

func sampleInfo(t *testing.T) Info {
	t.Helper()
	info, err := sampleTask.Info()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// published is a definition as it comes out of Redis, without its Go type.
func published(t *testing.T, info Info) Info {
	t.Helper()
	text, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	var back Info
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// TestCheck holds that a payload meets the same judgement where the definition
// is known from code and where it is known from Redis.
func TestCheck(t *testing.T) {
	t.Parallel()
	fromCode, err1 := NewCatalog(sampleInfo(t))
	fromRedis, err2 := NewCatalog(published(t, sampleInfo(t)))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		payload string
		pointer string // "" = accepted
	}{
		{`{"name":"ahoy"}`, ""},
		{` { "name" : "ahoy", "count": 9, "tags":["a"], "deep":{"level":1} } `, ""},
		{`{"name":"x"}`, "/name"},
		{`{"name":"ahoy","count":10}`, "/count"},
		{`{"name":"ahoy","count":"3"}`, "/count"},
		{`{"name":"ahoy","count":1.5}`, "/count"},
		{`{"name":"ahoy","tags":["c"]}`, "/tags/0"},
		{`{"name":"ahoy","deep":{"level":-1}}`, "/deep/level"},
		{`{"name":"ahoy","surname":1}`, "/surname"},
	} {
		for where, catalog := range map[string]*Catalog{"code": fromCode, "redis": fromRedis} {
			compacted, err := catalog.Check("test.sample", []byte(c.payload))
			var problems Problems
			switch {
			case c.pointer == "" && err != nil:
				t.Errorf("%s: %s: %v", where, c.payload, err)
			case c.pointer == "" && strings.ContainsAny(string(compacted), " \n"):
				t.Errorf("%s: %s: not compact: %s", where, c.payload, compacted)
			case c.pointer != "" && (!errors.As(err, &problems) || problems[0].Pointer != c.pointer):
				t.Errorf("%s: %s: %v, want a problem at %s", where, c.payload, err, c.pointer)
			}
		}
	}
	if _, err := fromCode.Check("test.sample", []byte(`{"name":"nobody"}`)); err == nil ||
		!strings.Contains(err.Error(), "somebody") {
		t.Errorf("Check of the definition: %v", err)
	}
	if _, err := fromCode.Check("test.sample", nil); err == nil ||
		!strings.Contains(err.Error(), "property name") {
		t.Errorf("empty payload: %v", err)
	}
	if _, err := fromCode.Check("test.other", nil); !errors.Is(err, ErrUnknownType) {
		t.Errorf("unknown type: %v", err)
	}
	for _, payload := range []string{`[]`, `null`, `"x"`, `1`} {
		if _, err := fromCode.Check("test.sample", []byte(payload)); err == nil {
			t.Errorf("%s was accepted", payload)
		}
	}
	if _, err := fromCode.Check("test.sample", []byte(`{"name":"`+strings.Repeat("x", job.MaxDocument)+
		`"}`)); err == nil {
		t.Error("a payload over the limit was accepted")
	}
}

// TestProblemsKeepSecrets holds that a refusal never repeats what was sent.
func TestProblemsKeepSecrets(t *testing.T) {
	t.Parallel()
	catalog, err := NewCatalog(sampleInfo(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{`{"name":"hunter2hunter2"}`, `{"name":"ahoy","tags":["hunter2"]}`,
		`{"name":"ahoy","count":"hunter2"}`, `{"name":"hunter2"`} {
		if _, err := catalog.Check("test.sample", []byte(payload)); err == nil ||
			strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

func TestFromQuery(t *testing.T) {
	t.Parallel()
	catalog, err := NewCatalog(published(t, sampleInfo(t)))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := catalog.FromQuery("test.sample", url.Values{"name": {"ahoy"}, "count": {"5"},
		"tags": {"a,b"}, "loud": {"true"}, "ratio": {"0.5"}, "deep": {`{"level":2}`}})
	if want := `{"count":5,"deep":{"level":2},"loud":true,"name":"ahoy","ratio":0.5,"tags":["a","b"]}`; err !=
		nil || string(payload) != want {
		t.Errorf("payload %s, %v", payload, err)
	}
	for _, query := range []url.Values{{"count": {"five"}}, {"surname": {"x"}}, {"loud": {"maybe"}},
		{"deep": {"{"}}} {
		if _, err := catalog.FromQuery("test.sample", query); err == nil {
			t.Errorf("%v was accepted", query)
		}
	}
}

func TestDecodeFillsDefaultsIn(t *testing.T) {
	t.Parallel()
	p, err := sampleTask.Decode([]byte(`{"name":"ahoy"}`))
	if err != nil || p.Count != 3 || p.Name != "ahoy" {
		t.Errorf("%+v, %v", p, err)
	}
	sums, err := FileChecksum.Decode([]byte(`{"algorithms":["md5","sha1"]}`))
	if err != nil || len(sums.Algorithms) != 2 {
		t.Errorf("a default list mixed with the one that was sent: %+v, %v", sums, err)
	}
	if _, err := sampleTask.Decode([]byte(`{"name":"ahoy","new":1}`)); err == nil {
		t.Error("an unknown field was accepted")
	}
}

type collides struct {
	Timeout int `json:"timeout,omitempty"`
}

func TestWrongDefinitions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make func() (Info, error)
		want string
	}{
		"no name": {Definition[sample]{Type: "", Lane: job.LaneIO}.Info, job.TypeNames},
		"brace":   {Definition[sample]{Type: "test.{x}", Lane: job.LaneIO}.Info, job.TypeNames},
		"no lane": {Definition[sample]{Type: "test.sample"}.Info, "lane"},
		"overlap in io": {Definition[sample]{Type: "test.sample", Lane: job.LaneIO,
			ForbidOverlap: true}.Info, "killed"},
		"long timeout": {Definition[sample]{Type: "test.sample", Lane: job.LaneIO,
			Timeout: 48 * time.Hour}.Info, "timeout"},
		"collision": {Definition[collides]{Type: "test.sample", Lane: job.LaneIO}.Info,
			`"timeout" collides`},
		"not an object": {Definition[int]{Type: "test.sample", Lane: job.LaneIO}.Info, "must be an object"},
		"strange input": {Definition[sample]{Type: "test.sample", Lane: job.LaneIO, Input: "maybe"}.Info,
			"input"},
		"many attempts": {Definition[sample]{Type: "test.sample", Lane: job.LaneIO, MaxAttempts: 1000}.Info,
			"attempts"},
		"everything else": {func() (Info, error) { return Info{}, Info{}.valid() }, "schema"},
	} {
		if _, err := c.make(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 64)
	for name, is := range map[string]struct{ name, folder bool }{
		"log.analyze": {true, true}, "a.b_c-d.7": {true, true}, "email:welcome": {true, false}, "a": {true, false},
		"Mailer::Job": {true, false}, "_a.b": {true, false}, "7": {true, false}, "a.": {true, false}, long: {true, false},
		"": {}, long + "a": {}, ".": {}, "..": {}, ".a": {}, ":a": {}, "-a": {}, "a b": {}, "a/b": {}, "a*": {},
		"a{b}": {}, "ä": {}, "a\n": {}, "a%b": {},
	} {
		if job.IsType(name) != is.name || job.IsFolderType(name) != is.folder {
			t.Errorf("%q: %v, as a folder %v", name, job.IsType(name), job.IsFolderType(name))
		}
		if at := job.PlaceOf(job.LaneClaim, job.High, "mails", "acme", name); is.name &&
			(job.ParsePlace(at.Name()) != at || !at.Known()) {
			t.Errorf("%q waits at %q, which is read as %+v", name, at.Name(), job.ParsePlace(at.Name()))
		}
		if access.CheckGlob(name) != "" && is.name {
			t.Errorf("no key can be for %q", name)
		}
	}
}

// TestRaw holds that a raw payload is any object, and keeps its bytes.
func TestRaw(t *testing.T) {
	t.Parallel()
	info, err := Definition[Raw]{Type: "a:b", Lane: job.LaneIO}.Info()
	if err != nil || string(info.Schema) != AnyPayload && !strings.Contains(string(info.Schema), "object") {
		t.Fatalf("%s, %v", info.Schema, err)
	}
	c, err := NewCatalog(info)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{`{"b":[1,2],"a":1e2}`: `{"b":[1,2],"a":1e2}`, "": "{}",
		`{"a": 1}`: `{"a":1}`, `[]`: "", `7`: "", `{"a":1,"a":2}`: ""} {
		got, err := c.Check("a:b", []byte(text))
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v", text, got, err)
		}
		if p, err := (Definition[Raw]{Type: "a:b"}).Decode(got); want != "" && (err != nil || string(p.Bytes()) != want) {
			t.Errorf("%s: %s, %v", text, p.Bytes(), err)
		}
	}
}

func TestBuiltInsAreRight(t *testing.T) {
	t.Parallel()
	infos, err := BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		if _, err := NewCatalog(published(t, info)); err != nil {
			t.Errorf("%s does not survive being published: %v", info.Type, err)
		}
		if info.Doc == "" {
			t.Errorf("%s has no word about itself", info.Type)
		}
	}
}

// TestPublishedDoesNotDisplace holds that nobody changes a built-in type by
// writing to Redis.
func TestPublishedDoesNotDisplace(t *testing.T) {
	t.Parallel()
	catalog, err := NewCatalog(sampleInfo(t))
	if err != nil {
		t.Fatal(err)
	}
	other := published(t, sampleInfo(t))
	other.Schema, other.Lane = []byte(`{"type":"object","additionalProperties":true}`), job.LaneCPU
	if err := catalog.Add(other); err != nil {
		t.Fatal(err)
	}
	if info, _ := catalog.Lookup("test.sample"); info.Lane != job.LaneIO {
		t.Error("a published definition took the place of the one from code")
	}
	if err := catalog.Add(Info{Type: "x"}); err == nil || len(catalog.All()) != 1 {
		t.Error("a damaged definition was added")
	}
}
