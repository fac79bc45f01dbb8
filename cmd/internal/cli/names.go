package cli

import (
	"strings"

	"longshore/internal/printable"
)

// fileNames makes names of files, and knows which were given away.
type fileNames struct {
	system string // as runtime.GOOS
	given  map[string]bool
}

// maxName is the most bytes of a name that is made of a stranger's word.
const maxName = 200

// plain makes a file name of a server's word for an output: a path would leave the
// folder, a dot would hide the file, and be a setting of some program in many a folder.
func (f *fileNames) plain(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.ReplaceAll(printable.Text(name), `\`, "_") // of an escape
	name = strings.ToValidUTF8(name[:min(len(name), maxName)], "")
	if rest := strings.TrimLeft(name, ".-"); rest != name {
		name = "_" + rest
	}
	if f.system == "windows" {
		name = forWindows(name)
	}
	if strings.Trim(name, "_ ") == "" {
		return "output"
	}
	return name
}

// forWindows makes of a name one that Windows can hold: without the signs of drives, streams and
// patterns, without a dot or a space at its end, which would be dropped, and no device's, which has no
// ending of its own (learn.microsoft.com/windows/win32/fileio/naming-a-file).
func forWindows(name string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`<>:"|?*`, r) {
			return '_'
		}
		return r
	}, name)
	if rest := strings.TrimRight(name, ". "); rest != name {
		name = rest + "_"
	}
	stem, _, _ := strings.Cut(name, ".")
	switch stem = strings.ToUpper(strings.TrimRight(stem, " ")); stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return "_" + name
	}
	for _, port := range []string{"COM", "LPT"} {
		if number, ok := strings.CutPrefix(stem, port); ok && len([]rune(number)) == 1 &&
			strings.Contains("0123456789¹²³", number) {
			return "_" + name
		}
	}
	return name
}

// one is what names of the same file have in common: systems of files on Windows and macOS know no case.
func (f *fileNames) one(name string) string {
	if f.system == "windows" || f.system == "darwin" {
		return strings.ToUpper(name)
	}
	return name
}

// used tells that a name, or another of the same file, was given away.
func (f *fileNames) used(name string) bool { return f.given[f.one(name)] }

func (f *fileNames) use(name string) {
	if f.given == nil {
		f.given = map[string]bool{}
	}
	f.given[f.one(name)] = true
}
