package jq

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/itchyny/gojq"
)

// TestMapKeepsOrder: members have the places that jq gives them.
func TestMapKeepsOrder(t *testing.T) {
	t.Parallel()
	const row = `{"zip":"1","name":"x","age":"2"}`
	const deep = `{"z":{"y":1,"x":[{"d":1,"c":2},{"d":3,"c":4}],"w":{"b":1,"a":2}},"a":"q"}`
	for _, c := range []struct{ source, record, want string }{
		{".", row, row},
		{".", deep, deep},
		{".age=(.age|tonumber)", row, `{"zip":"1","name":"x","age":2}`},
		{".age|=tonumber|.zip|=tonumber", row, `{"zip":1,"name":"x","age":2}`},
		{".new=1|.also=2", row, `{"zip":"1","name":"x","age":"2","new":1,"also":2}`},
		{".new.b=1|.new.a=2", row, `{"zip":"1","name":"x","age":"2","new":{"b":1,"a":2}}`},
		{"(.q,.p)=1", row, `{"zip":"1","name":"x","age":"2","q":1,"p":1}`},
		{".zip+=\"0\"", row, `{"zip":"10","name":"x","age":"2"}`},
		{"del(.name)", row, `{"zip":"1","age":"2"}`},
		{"delpaths([[\"name\"]])", row, `{"zip":"1","age":"2"}`},
		{"{name,age,zip}", row, `{"name":"x","age":"2","zip":"1"}`},
		{"{z:.zip,\"a\":.age,(\"n\"):.name}", row, `{"z":"1","a":"2","n":"x"}`},
		{"{z:1,(.name):2,b:3}", row, `{"z":1,"x":2,"b":3}`},
		{"{z:1,\"y\\(.zip)\":2,b:3}", row, `{"z":1,"y1":2,"b":3}`},
		{".+{b:1,a:2}", row, `{"zip":"1","name":"x","age":"2","b":1,"a":2}`},
		{"{c:1}+.", row, `{"c":1,"zip":"1","name":"x","age":"2"}`},
		{"{age:0}+.+{q:1}", row, `{"age":"2","zip":"1","name":"x","q":1}`},
		{".*{b:1}", row, `{"zip":"1","name":"x","age":"2","b":1}`},
		{". as $r | {y:$r.age,$r}", row, `{"y":"2","r":` + row + `}`},
		{".zip as $z | {y:1,$z,b:2}", row, `{"y":1,"z":"1","b":2}`},
		{"if .age then {y:1,b:2} else {b:1,y:2} end", row, `{"y":1,"b":2}`},
		{"if .nope then {y:1,b:2} else {d:1,c:2,b:3} end", row, `{"d":1,"c":2,"b":3}`},
		{"if .age then .b=1 else . end", row, `{"zip":"1","name":"x","age":"2","b":1}`},
		{"{z:1,a:2},{y:1,b:2}", row, `{"z":1,"a":2}` + "\n" + `{"y":1,"b":2}`},
		{"(.nope // {y:1,b:2})", row, `{"y":1,"b":2}`},
		{"try error catch {y:1,b:2}", row, `{"y":1,"b":2}`},
		{"with_entries(.value|=ascii_upcase)", row, `{"zip":"1","name":"X","age":"2"}`},
		{"with_entries(select(.key!=\"name\"))", row, `{"zip":"1","age":"2"}`},
		{"to_entries|map(select(.value!=\"x\"))|from_entries", row, `{"zip":"1","age":"2"}`},
		{"map_values(tonumber? // .)", row, `{"zip":1,"name":"x","age":2}`},
		{"map_values({y:.,b:1})", `{"q":1,"p":2}`, `{"q":{"y":1,"b":1},"p":{"y":2,"b":1}}`},
		{"def f: {y:.zip,b:.age}; f", row, `{"y":"1","b":"2"}`},
		{"def f(g): .b=g; f(1)", row, `{"zip":"1","name":"x","age":"2","b":1}`},
		{"reduce (1,2) as $i ({y:0,b:0}; .y+=$i)", row, `{"y":3,"b":0}`},
		{"[{y:1,b:2}]", row, `[{"y":1,"b":2}]`},
		{"[.z.x[]|{d,c,b:1}]", deep, `[{"d":1,"c":2,"b":1},{"d":3,"c":4,"b":1}]`},
		{".z.x|=map(.c+=1)", deep,
			`{"z":{"y":1,"x":[{"d":1,"c":3},{"d":3,"c":5}],"w":{"b":1,"a":2}},"a":"q"}`},
		{".z.x[].c=0", deep, `{"z":{"y":1,"x":[{"d":1,"c":0},{"d":3,"c":0}],"w":{"b":1,"a":2}},"a":"q"}`},
		{".z.x[0].c=0", deep, `{"z":{"y":1,"x":[{"d":1,"c":0},{"d":3,"c":4}],"w":{"b":1,"a":2}},"a":"q"}`},
		{".z.w.c=3|.z.w.aa=4", deep,
			`{"z":{"y":1,"x":[{"d":1,"c":2},{"d":3,"c":4}],"w":{"b":1,"a":2,"c":3,"aa":4}},"a":"q"}`},
		{"del(.z.x,.z.w.b)", deep, `{"z":{"y":1,"w":{"a":2}},"a":"q"}`},
		{"{w:.z.w,q:(.z.w+{c:1})}", deep, `{"w":{"b":1,"a":2},"q":{"b":1,"a":2,"c":1}}`},
		{".z|{x:1}+.", deep, `{"x":[{"d":1,"c":2},{"d":3,"c":4}],"y":1,"w":{"b":1,"a":2}}`},
		{".z.w|.b+=1", deep, `{"b":2,"a":2}`},
		{"[{y:1},{b:2}]|add", row, `{"y":1,"b":2}`},
		{"pick(.age,.zip)", row, `{"age":"2","zip":"1"}`},
		{".[\"new\"]=1|.\"b c\"=2", row, `{"zip":"1","name":"x","age":"2","new":1,"b c":2}`},
		{".b=.zip|del(.zip)", row, `{"name":"x","age":"2","b":"1"}`},
		{".", `{"b":1,"a":2,"b":3}`, `{"b":3,"a":2}`},
		{".c=1", `{"b":1,"\u0061":2}`, `{"b":1,"a":2,"c":1}`},
		{"first(.,1)", row, row},
		{"first({y:1,b:2})", row, `{"y":1,"b":2}`},
		{"limit(1;{y:1,b:2},{b:1})", row, `{"y":1,"b":2}`},
	} {
		if got, err := mapped(c.source, c.record); got != c.want || err != nil {
			t.Errorf("%s of %s:\ngot  %s, %v\nwant %s", c.source, c.record, got, err, c.want)
		}
	}
	// A line has no members, and what was there before is forgotten.
	e, err := Compile("{y:1,b:.}, (. | {(.):1, c:2})")
	if err != nil {
		t.Fatal(err)
	}
	m := NewMachine(context.Background(), e)
	b := Padded([]byte(`"q"`))
	var got []string
	emit := func(text []byte) error { got = append(got, string(text)); return nil }
	if err := m.Map(b, 0, len(b), 1000, emit); err != nil {
		t.Fatal(err)
	}
	if err := m.MapText([]byte("r"), 1000, emit); err != nil {
		t.Fatal(err)
	}
	if want := `{"y":1,"b":"q"} {"q":1,"c":2} {"y":1,"b":"r"} {"r":1,"c":2}`; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestOrderIsCheap: an expression and a record that are made to be slow are not.
func TestOrderIsCheap(t *testing.T) {
	t.Parallel()
	var defs strings.Builder
	defs.WriteString("def f0: {a:.};")
	for i := range 200 {
		fmt.Fprintf(&defs, "def f%d: f%d,f%d;", i+1, i, i)
	}
	var wide strings.Builder
	wide.WriteString(`{"big":{`)
	for i := range 50_000 {
		fmt.Fprintf(&wide, `"k%d":1,`, i)
	}
	wide.WriteString(`"a":1}}`)
	began := time.Now()
	for _, c := range []struct{ source, record string }{
		{defs.String() + "first(f200)", "1"},
		{strings.Repeat(".+.|", 3000) + ".", `{"a":1}`},
		{strings.Repeat("(.,{b:.})|", 1500) + "empty", `{"a":1}`},
		{"def f: .a|f; " + strings.Repeat("[", 500) + "." + strings.Repeat("]", 500), `{"a":1}`},
		{".big as $b | [.big.z=1 | {a:1} | ., .][0]", wide.String()},
		{"[.big | .z = 1 | del(.z) | {a} | limit(100000; repeat(.)) | .b = 1] | length", wide.String()},
	} {
		e, err := Compile(c.source)
		if err != nil {
			t.Fatalf("%.40s: %v", c.source, err)
		}
		b := Padded([]byte(c.record))
		if err := NewMachine(t.Context(), e).Map(b, 0, len(b), 4<<20,
			func([]byte) error { return nil }); err != nil && !strings.Contains(err.Error(), "steps") {
			t.Errorf("%.40s: %v", c.source, err)
		}
	}
	// A busy machine with the race detector on takes 40 s; what these bounds are for would take hours.
	if took := time.Since(began); took > 5*time.Minute {
		t.Errorf("it took %v", took)
	}
}

// FuzzMapOrder: whatever the order, the values are those that gojq gives.
func FuzzMapOrder(f *testing.F) {
	f.Add(".a=(.b|{z:1,y:.})|del(.c)", `{"c":1,"b":{"q":1,"p":2},"a":[{"y":1,"x":2}]}`)
	f.Add("to_entries|map(.value|=[.])|from_entries,(.+{a:1}|.b.c=2)", `{"b":1,"a":2}`)
	f.Add("def f(g): {(.a):g,b}; if .a then f(.b) else pick(.b,.c) end", `{"a":"x","b":1}`)
	f.Fuzz(func(t *testing.T, source, record string) {
		if len(record) > 1000 || strings.ContainsAny(record, "\n") || !json.Valid([]byte(record)) ||
			len(source) > 300 {
			return
		}
		e, err := Compile(source)
		b := Padded([]byte(record))
		if err != nil || newScanner(nil).scan(b, 0, len(b)) != nil {
			return
		}
		var got []any
		m := NewMachine(t.Context(), e)
		for range 2 {
			got = nil
			if err = m.Map(b, 0, len(b), 1<<16, func(text []byte) error {
				got = append(got, decode(append([]byte(nil), text...)))
				return nil
			}); err != nil {
				return
			}
		}
		iter := e.code.RunWithContext(&steps{Context: t.Context(), done: t.Context().Done()},
			decode([]byte(record)))
		for i := 0; ; i++ {
			want, ok := iter.Next()
			if _, failed := want.(error); !ok || failed {
				if i != len(got) && !failed {
					t.Fatalf("%s of %s: %d values, want %d", source, record, len(got), i)
				}
				return
			}
			text, err := gojq.Marshal(want)
			if err != nil || i >= len(got) || gojq.Compare(decode(text), got[i]) != 0 {
				t.Fatalf("%s of %s: value %d of %v, want %s", source, record, i, got, text)
			}
		}
	})
}
