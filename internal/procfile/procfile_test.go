package procfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func getenv(name string) string {
	return map[string]string{"PORT": "5000", "NAME": "two words", "DIR": "/opt"}[name]
}

// TestCommands holds what words a line becomes.
func TestCommands(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		`bin/web`:                                {"bin/web"},
		`bin/web -p $PORT --dir=${DIR}/x`:        {"bin/web", "-p", "5000", "--dir=/opt/x"},
		`echo $NAME "$NAME" '$NAME' \$NAME`:      {"echo", "two words", "two words", "$NAME", "$NAME"},
		`echo "" '' $NONE "$NONE" a$NONE`:        {"echo", "", "", "", "a"},
		`echo "a \"b\" \$x \\ \n" 'c d'e"f g"`:   {"echo", `a "b" $x \ \n`, "c def g"},
		`sh -c 'cd x; ./worker & wait' # hidden`: {"sh", "-c", "cd x; ./worker & wait"},
		`echo a#b "|;&<>" *.go ~`:                {"echo", "a#b", "|;&<>", "*.go", "~"},
		"\techo\t a ":                            {"echo", "a"},
		`A=1 B="x $PORT" echo C=2`:               {"A=1", "B=x 5000", "|", "echo", "C=2"},
	} {
		types, err := Parse("Procfile", []byte("web:"+line+"\r\n"))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		env, args := types[0].Command(getenv)
		got := args
		if env != nil {
			got = append(append(env, "|"), args...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

// TestProcfile reads a file with all that may stand in one.
func TestProcfile(t *testing.T) {
	t.Parallel()
	types, err := Parse("Procfile",
		[]byte("\ufeff# what there is\r\n\r\nweb: bin/web\r\n  worker-2: bin/worker\nrelease: true"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, typ := range types {
		got = append(got, typ.Name)
	}
	if diff := cmp.Diff([]string{"web", "worker-2", "release"}, got); diff != "" || types[1].Line != 4 {
		t.Errorf("line %d\n%s", types[1].Line, diff)
	}
}

// TestMistakes holds that each mistake is refused with its line and what would mend it.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "f: there is no line",
		"# nothing\n":                  "f: there is no line",
		"web bin/web":                  "f:1: expected name: command",
		"web: a\nweb: b":               "f:2: web stands in line 1 already",
		"web: a\n\nwo rker: b":         "f:3: expected name",
		"web:":                         "f:1: web has no command",
		"web: # later":                 "f:1: web has no command",
		"web: A=1":                     "f:1: web has no command",
		"web: a | b":                   "f:1: | means something to a shell, and there is none: use sh -c '…'",
		"web: a; b":                    "f:1: ; means",
		"web: a & b":                   "f:1: & means",
		"web: a < b":                   "f:1: < means",
		"web: a >b":                    "f:1: > means",
		"web: a $(b)":                  "f:1: $( means",
		"web: a `b`":                   "f:1: ` means",
		"web: a \"`b`\"":               "f:1: ` means",
		"web: a ${b:-c}":               "f:1: ${ means",
		"web: (a)":                     "f:1: ( means",
		"web: a $":                     "f:1: expected $NAME",
		"web: a 'b":                    "f:1: a ' has no other one",
		"web: a \"b":                   `f:1: a " has no other one`,
		"web: a \\":                    `f:1: ends with \`,
		"web: a\x00":                   "f:1: has a control character",
		strings.Repeat("# x\n", 20000): "f: is over 65536 bytes",
	} {
		types, err := Parse("f", []byte(text))
		wrong, ok := errors.AsType[*Error](err)
		if !ok || types != nil || !strings.HasPrefix(wrong.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	got, err := ParseEnv(".env",
		[]byte(
			"# secrets\r\nA=1\r\nexport B = 'x # y' # z\nC=\"a\\n\\\"b\\\\n\"\nD=\nE=a b # c\nF=#x\nG=p#w$x\n\nH=a=b"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": "1", "B": "x # y", "C": "a\n\"b\\n", "D": "", "E": "a b", "F": "",
		"G": "p#w$x", "H": "a=b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for text, want := range map[string]string{
		"A=1\nhunter2":        ".env:2: expected NAME=value",
		"A=1\nA=2":            ".env:2: A is set twice",
		"A='hunter2":          ".env:1: A: expected a value",
		`A="hunter2" hunter2`: ".env:1: A: expected a value",
		"1A=hunter2":          ".env:1: expected",
	} {
		_, err := ParseEnv(".env", []byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// FuzzParse holds that no text makes the reader fail otherwise than by an Error, and
// that what it takes can be expanded.
func FuzzParse(f *testing.F) {
	f.Add("web: bin/web -p $PORT 'a b' \"c $D\" # x\n")
	f.Add("a: b\\\nc: ${D}\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		types, err := Parse("Procfile", []byte(text))
		if _, ok := errors.AsType[*Error](err); err != nil && !ok {
			t.Fatalf("%v", err)
		}
		for _, typ := range types {
			typ.Command(getenv)
		}
		if _, err := ParseEnv(".env", []byte(text)); err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%v", err)
			}
		}
	})
}
