package handlers_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/internal/stream"
	"longshore/job"
	"longshore/tasks"
)

// What a run may take here, whatever its payload and its input are.
const (
	boundMemory = 256 << 20 // RLIMIT_DATA of the process, Go's runtime included
	boundOutput = 64 << 20
	boundTime   = 700 * time.Millisecond // its timeout
	boundLate   = 2 * time.Second        // from there to its return, on a busy machine
)

// boundVariable makes the test's program a child that runs one bound case.
const boundVariable = "LONGSHORE_TEST_BOUND_CASE"

// A boundCase is one run: a payload, and an input that is head and then body
// again and again, Total bytes in all.
type boundCase struct {
	Type, Payload string
	Head, Body    []byte
	Total         int64
	Pack          stream.Format
	refused       bool // it may be refused: it was made by chance
	any           bool // it may take all the memory of a child: jq, pictures, many stages
}

// A boundResult is what the child says of it.
type boundResult struct {
	Code   job.Code
	Error  string
	LateMS int64
	Out    int64
}

// gen makes choices out of bytes.
type gen struct{ data []byte }

func (g *gen) n(most int) int {
	if len(g.data) == 0 {
		return 0
	}
	b := g.data[0]
	g.data = g.data[1:]
	return int(b) % most
}

func pick[T any](g *gen, of ...T) T { return of[g.n(len(of))] }

func quoted(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// names are n names, equal or not.
func (g *gen) names(n int) string {
	equal := g.n(2) == 0
	if !equal {
		n = min(n, 7000) // so that they fit into a payload
	}
	list := make([]string, n)
	for i := range list {
		if list[i] = "a"; !equal {
			list[i] = fmt.Sprint("a", i)
		}
	}
	return quoted(list)
}

// A stageCase makes options of a stage that ask for much, and says what has to
// come before it.
type stageCase struct {
	before  []string
	options func(g *gen) string
	any     bool
}

func fixed(options string) func(*gen) string { return func(*gen) string { return options } }

var (
	asLines   = []string{`{"lines":{}}`}
	asRecords = []string{`{"ndjson":{}}`}
)

// stageCases must have every stage of text.transform: TestBounds sees to it.
var stageCases = map[string]stageCase{
	"gunzip":   {options: fixed(`{"max_ratio":1000000}`)},
	"unzstd":   {options: fixed(`{"max_ratio":1000000}`)},
	"gzip":     {options: fixed(`{"level":9}`)},
	"zstd":     {options: fixed(`{"level":9}`)},
	"lines":    {options: fixed(`{}`)},
	"ndjson":   {options: fixed(`{}`)},
	"upper":    {options: fixed(`{}`)},
	"lower":    {before: asLines, options: fixed(`{}`)},
	"count":    {before: asLines, options: fixed(`{}`)},
	"head":     {before: asLines, options: fixed(`{"n":4611686018427387904}`)},
	"checksum": {options: fixed(`{"algorithms":["sha256","sha1","sha512","md5","crc32","crc32c","xxh64"]}`)},
	"select":   {before: asRecords, options: func(g *gen) string { return g.names(pick(g, 10000, 2, 1000)) }},
	"csv": {options: func(g *gen) string {
		return pick(g, `{}`, `{"header":false}`, `{"columns":`+g.names(10000)+`}`, `{"delimiter":"a"}`)
	}},
	"filter": {before: asRecords, any: true, options: func(g *gen) string {
		return quoted(pick(g, `.a > 5`, `.a == "x"`, `.a == .b`, `.a.b == 1`, `.[300000000] = 1`,
			`[range(1000000)] | length > 5`,
			".a == 1"+strings.Repeat(` or .b > "x"`, 60), `[limit(1000000000; repeat(1))] | .[0]`))
	}},
	"map": {before: asLines, any: true, options: func(g *gen) string {
		return quoted(pick(g, `.`, `[., ., ., .]`, `range(1000000) as $x | $x`, `. * 1000000`,
			`range(10) as $x | .`,
			`reduce range(40) as $x ("x"; . + .)`, `reduce range(30) as $x (7; . * .)`))
	}},
	"replace": {before: asLines, options: func(g *gen) string {
		with := strings.Repeat(pick(g, "B", "$0", "${1}$1", "é"), pick(g, 15000, 1, 1000))
		if g.n(2) == 0 {
			return `{"old":"a","with":` + quoted(strings.Repeat("B", pick(g, 60000, 1000, 0, 2))) + `}`
		}
		pattern := pick(g, `a`, `(a)`, `.*`, `\b`, `^|$`, `(?:(?:a?){10}){90}b`, `(.{0,900}){2}`, ``)
		return `{"pattern":` + quoted(pattern+pick(g, "", "|x")) + `,"with":` + quoted(with) + `}`
	}},
}

// boundInputs are inputs that are small and mean much.
func boundInputs(g *gen) (head, body []byte, total int64) {
	const line, forEver = 4<<20 - 100, 1 << 40
	long := bytes.Repeat([]byte("a"), 4096)
	record := func(before, body, after string) []byte {
		return []byte(before + strings.Repeat(body, (line-len(before)-len(after))/len(body)) + after + "\n")
	}
	switch g.n(12) {
	case 0:
		return nil, long, line
	case 1:
		return nil, []byte("a\n"), forEver
	case 2:
		return []byte(strings.Repeat("n", line) + "\n"), []byte("x\n"), forEver
	case 3:
		return []byte(strings.Repeat("n,", 1<<20) + "n\n"), []byte("x,y\n"), 8 << 20
	case 4:
		return []byte(strings.Repeat("n,", 9999) + "n\n"), []byte(strings.Repeat(",", 9999) + "\n"), forEver
	case 5:
		return nil, []byte("{}\n"), forEver
	case 6:
		return nil, record(`{"a":[`, `[],`, `[]]}`), forEver
	case 7:
		return nil, record(`{"a":`, `7`, `}`), forEver
	case 8:
		return []byte(`"`), []byte("x\n\n"), forEver
	case 9:
		return nil, record(`{"a":"`, `\u0001`, `"}`), forEver
	case 10:
		return nil, []byte(strings.Repeat(",", 1<<20)), forEver
	default:
		return nil, record(`{`, `"a":{"a":1},`, `"b":{}}`), forEver
	}
}

// stagesOf is a pipeline that has a stage so many times.
func stagesOf(g *gen, name string, times int) string {
	c, all := stageCases[name], []string(nil)
	for i := range times {
		if i == 0 || name != "upper" && name != "lower" && name != "map" && name != "count" &&
			name != "head" && name != "replace" && name != "select" && name != "filter" {
			all = append(all, c.before...)
		}
		all = append(all, `{"`+name+`":`+c.options(g)+`}`)
	}
	return `{"stages":[` + strings.Join(all[:min(len(all), 32)], ",") + `],"on_error":"` +
		pick(g, "fail", "skip") + `","max_bytes":` + fmt.Sprint(1<<40) + `}`
}

func packOf(name string) stream.Format {
	return map[string]stream.Format{"gunzip": stream.Gzip, "unzstd": stream.Zstd}[name]
}

// byChance makes a case out of bytes.
func byChance(data []byte) boundCase {
	g := &gen{data}
	names := make([]string, 0, len(stageCases))
	for name := range stageCases {
		names = append(names, name)
	}
	slices.Sort(names)
	name := pick(g, names...)
	c := boundCase{Type: "text.transform", refused: true, any: true, Pack: packOf(name)}
	c.Payload = stagesOf(g, name, 1+g.n(4))
	c.Head, c.Body, c.Total = boundInputs(g)
	return c
}

// taskCases must have every type that is built in but text.transform.
var taskCases = map[string]func() []boundCase{
	"csv.to_ndjson": func() []boundCase {
		return everyInput("csv.to_ndjson", `{"on_error":"skip"}`, `{}`, `{"header":false}`)
	},
	"ndjson.to_csv": func() []boundCase {
		return everyInput("ndjson.to_csv", `{"on_error":"skip"}`, `{"columns":`+(&gen{}).names(10000)+`}`)
	},
	"ndjson.filter": func() []boundCase {
		return everyInput("ndjson.filter", `{"filter":".a > 5 and .a.b == null","on_error":"skip"}`)
	},
	"file.checksum": func() []boundCase { return everyInput("file.checksum", `{}`)[:2] },
	"file.compress": func() []boundCase {
		return everyInput("file.compress", `{"format":"zstd","level":9}`)[:2]
	},
	"file.decompress": func() []boundCase { return packed("file.decompress", `{"max_ratio":1000000}`) },
	"log.analyze": func() []boundCase {
		return append(everyInput("log.analyze", `{}`)[:5], packed("log.analyze", `{}`)...)
	},
	"math.primes": func() []boundCase {
		return []boundCase{{Type: "math.primes", Payload: `{"n":100000000000}`}}
	},
	"image.resize": pictures,
}

func everyInput(typ string, payloads ...string) []boundCase {
	var all []boundCase
	for _, payload := range payloads {
		for i := range 12 {
			c := boundCase{Type: typ, Payload: payload}
			c.Head, c.Body, c.Total = boundInputs(&gen{[]byte{byte(i)}})
			all = append(all, c)
		}
	}
	return all
}

func packed(typ, payload string) []boundCase {
	all := everyInput(typ, payload)[:2]
	for i, format := range formats {
		all[i].Pack, all[i].Body = format, make([]byte, 4096)
	}
	return all
}

var formats = []stream.Format{stream.Gzip, stream.Zstd}

// pictures are small files whose headers claim much.
func pictures() []boundCase {
	small := image.NewGray(image.Rect(0, 0, 64, 64))
	var files [3]bytes.Buffer
	err := errors.Join(png.Encode(&files[0], small), jpeg.Encode(&files[1], small, nil),
		gif.Encode(&files[2], small, nil))
	if err != nil {
		panic(err)
	}
	sof := bytes.Index(files[1].Bytes(), []byte{0xff, 0xc0})
	webp := []byte(
		"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	var all []boundCase
	for _, size := range []uint16{64, 6000, 65500} {
		binary.BigEndian.PutUint32(files[0].Bytes()[16:], uint32(size))
		binary.BigEndian.PutUint32(files[0].Bytes()[20:], uint32(size))
		binary.BigEndian.PutUint16(files[1].Bytes()[sof+5:], size)
		binary.BigEndian.PutUint16(files[1].Bytes()[sof+7:], size)
		binary.LittleEndian.PutUint16(files[2].Bytes()[6:], size)
		binary.LittleEndian.PutUint16(files[2].Bytes()[8:], size)
		for _, file := range [][]byte{files[0].Bytes(), files[1].Bytes(), files[2].Bytes(), webp} {
			all = append(all, boundCase{Type: "image.resize", Payload: `{"width":4000}`,
				Head: bytes.Clone(file), Total: int64(len(file)), any: true})
		}
	}
	return all
}

// TestBounds runs every stage, every task and every path of a picture in a
// process with little memory, on what asks for much of it: whatever comes, it is
// an answer, in time, and no more is written than may be.
func TestBounds(t *testing.T) {
	t.Parallel()
	cases := map[string]boundCase{}
	for field := range reflect.TypeFor[tasks.Stage]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		s, ok := stageCases[name]
		if !ok {
			t.Errorf("stage %s has no case: add it to stageCases", name)
			continue
		}
		for i, choices := range [][]byte{{}, {1, 1, 1, 1}, {2, 1, 2, 2, 1}, {0, 1, 3, 1}, {1, 0, 4, 1, 1},
			{3, 1, 5}} {
			g := &gen{choices}
			c := boundCase{Type: "text.transform", any: s.any, Pack: packOf(name),
				Payload: stagesOf(g, name, []int{1, 1, 1, 2, 31, 1}[i])}
			if len(c.Payload) > job.MaxDocument {
				c.Payload = stagesOf(&gen{choices}, name, 1)
			}
			c.Head, c.Body, c.Total = boundInputs(&gen{[]byte{byte(i * 5)}})
			if i == 4 { // not every stage takes what it gives, and so many together are a child's
				c.refused, c.any = true, true
			}
			cases[fmt.Sprintf("%s %d", name, i)] = c
		}
	}
	for _, typ := range handlers.BuiltIn().Types() {
		if typ == tasks.TextTransform.Type {
			continue
		}
		if taskCases[typ] == nil {
			t.Errorf("task %s has no case: add it to taskCases", typ)
			continue
		}
		for i, c := range taskCases[typ]() {
			cases[fmt.Sprintf("%s %d", typ, i)] = c
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.hold(t)
		})
	}
}

// FuzzBounds is TestBounds with pipelines and inputs made of bytes.
func FuzzBounds(f *testing.F) {
	f.Add([]byte{11, 0, 0, 1, 0})
	f.Add([]byte{3, 1, 1, 2, 4})
	f.Fuzz(func(t *testing.T, data []byte) { byChance(data).hold(t) })
}

// boundProgram is what children run: these tests, without the race detector,
// whose shadow memory is no part of the product's.
var boundProgram = sync.OnceValues(func() (string, error) {
	if !raceDetector {
		return os.Executable()
	}
	program := filepath.Join(boundFolder(), "bounds")
	build := exec.Command("go", "test", "-c", "-trimpath", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the programs are
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the children of TestBounds: %w\n%s", err, text)
	}
	return program, nil
})

// boundFolder is where boundProgram builds to. TestMain removes it.
var boundFolder = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "longshore-bounds-")
	if err != nil {
		panic(err)
	}
	boundBuilt = dir
	return dir
})

var boundBuilt string

// hold runs a case in a child and says what doesn't hold.
func (c boundCase) hold(t *testing.T) {
	t.Helper()
	entry, ok := handlers.BuiltIn().Lookup(c.Type)
	if !ok {
		t.Fatalf("no handler of %s", c.Type)
	}
	catalog, err := tasks.NewCatalog(entry.Info)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.Check(c.Type, []byte(c.Payload)); err != nil {
		if !c.refused {
			t.Fatalf("%.200s is refused: %v", c.Payload, err)
		}
		return
	}
	child := entry.Info.LaneFor([]byte(c.Payload)) == job.LaneCPU // it can be killed
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	program, err := boundProgram()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), boundVariable+"=1", "GOMAXPROCS=2")
	cmd.Stdin = strings.NewReader(quoted(c))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var r boundResult
	switch {
	case err != nil && child && c.any && outOfMemory(errs.String()):
		return // as out_of_memory, of its child alone
	case err != nil && ctx.Err() != nil && child:
		return // killed at its timeout
	case err != nil:
		t.Fatalf("%.300s: %v\n%.1000s", c.Payload, err, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("child said %q: %v", out.String(), err)
	}
	if r.Error != "" && r.Code == "" {
		t.Errorf("%.300s: error without a code: %s", c.Payload, r.Error)
	}
	if r.Out > boundOutput {
		t.Errorf("%.300s: wrote %d bytes", c.Payload, r.Out)
	}
	if late := time.Duration(r.LateMS) * time.Millisecond; late > boundLate && !child {
		t.Errorf("%.300s: ended %v after it was told to, in lane io", c.Payload, late)
	}
}

// outOfMemory reports whether a Go program died of its limit, as isolate does: at
// times the runtime finds that out by a fault on its own stack.
func outOfMemory(text string) bool { return noMemory.MatchString(text) }

var noMemory = regexp.MustCompile(`out of memory|cannot allocate memory|pthread_create failed|` +
	`SIGSEGV: [^\n]*\nPC=\w+ m=\d+ sigcode=1 addr=0x0\n+goroutine 0 `)

var errBoundTime = errors.New("out of time")
