package cli

import (
	"io/fs"
	"slices"
	"strings"
	"testing"

	"longshore/job"
)

// TestPlainNames makes file names of what a server calls its outputs.
func TestPlainNames(t *testing.T) {
	t.Parallel()
	names := fileNames{system: "linux"}
	for in, want := range map[string]string{
		"report.json": "report.json", "größer.txt": "größer.txt", "../../etc/passwd": "passwd",
		`..\..\x.txt`: "x.txt", "": "output", ".": "output", "..": "output", "/": "output",
		".bashrc": "_bashrc", "..a": "_a", "-rf": "_rf", "a\nb": "a_u000ab", "\x1b[31m.txt": "_u001b[31m.txt",
		"\x00": "_u0000", "a\u202etxt.exe": "a_u202etxt.exe",
	} {
		if got := names.plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
	if got := names.plain(strings.Repeat("\u202e", 300)); len(got) > maxName {
		t.Errorf("%d bytes", len(got))
	}
}

// TestNamesOfWindows makes names that Windows can hold, of what it would take for something else.
func TestNamesOfWindows(t *testing.T) {
	t.Parallel()
	names := fileNames{system: "windows"}
	for in, want := range map[string]string{
		"report.json": "report.json", "größer.txt": "größer.txt", `C:\x y\f.log`: "f.log", `\\host\share\f.log`: "f.log",
		"a:b": "a_b", "C:f.log": "C_f.log", "what?.txt": "what_.txt", `a"<>|*b`: "a_____b", "a.": "a_", "a. . ": "a_",
		"a ": "a_", "CON": "_CON", "con.txt": "_con.txt", "Aux .tar.gz": "_Aux .tar.gz", "nul": "_nul",
		"com1": "_com1", "COM¹.log": "_COM¹.log", "lpt0": "_lpt0", "COM10": "COM10", "COMB": "COMB", "console": "console",
		"conin$": "_conin$", "...": "output", "??": "output", "CON.": "CON_",
	} {
		if got := names.plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestNamesWithoutCase holds that files which differ in case alone are two, on systems that know no case too.
func TestNamesWithoutCase(t *testing.T) {
	t.Parallel()
	for system, want := range map[string][]string{
		"linux": {"A.txt", "a.txt", "a.txt-2"}, "darwin": {"A.txt", "a.txt-2", "a.txt-3"},
		"windows": {"A.txt", "a.txt-2", "a.txt-3"},
	} {
		var got []string
		outputs := []job.Output{{Name: "A.txt"}, {Name: "a.txt"}, {Name: "x/a.txt"}}
		err := eachOutput(&fileNames{system: system}, outputs, func(_, local string) error {
			got = append(got, local)
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", system, got, err)
		}
	}
}

// TestMarks reads texts as editors and shells of Windows write them.
func TestMarks(t *testing.T) {
	t.Parallel()
	if string(unmarked([]byte("\xef\xbb\xbf{}"))) != "{}" || string(unmarked([]byte("{}"))) != "{}" {
		t.Error("a mark is not taken away, or more than that")
	}
	if !inUTF16([]byte("\xff\xfe{\x00")) || !inUTF16([]byte("\xfe\xff\x00{")) || inUTF16([]byte("{}")) {
		t.Error("UTF-16 is taken for UTF-8, or the other way round")
	}
	if p := (&CLI{in: strings.NewReader("\ufeffone\r\ntwo\r\n")}); !slices.Equal(p.words(), []string{"one", "two"}) {
		t.Error("words of a file with a mark and CRLF are others")
	}
}

// TestPrograms holds which files of a function can be run where it gets to, packed on Windows too.
func TestPrograms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		system string
		mode   uint32
		head   string
		want   bool
	}{
		{"linux", 0o755, "#!/b", true}, {"linux", 0o644, "#!/b", false}, {"windows", 0o666, "#!/b", true},
		{"windows", 0o666, "\x7fELF", true}, {"windows", 0o666, "{", false}, {"windows", 0o666, "", false},
	} {
		if got := isProgram(c.system, fs.FileMode(c.mode), []byte(c.head)); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
