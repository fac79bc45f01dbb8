package procfile

import (
	"regexp"
	"strings"
)

var envForm = regexp.MustCompile(`^(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)$`)

// ParseEnv reads the text of a .env file: NAME=value, one a line, with or without
// quotes. Values are taken as they stand: $ means nothing, and in double quotes \n, \r, \t,
// \" and \\ are what they are in most languages. Errors are of type *Error.
func ParseEnv(file string, text []byte) (map[string]string, error) {
	lines, err := split(file, text, maxEnv)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		m := envForm.FindStringSubmatch(line)
		if m == nil {
			return nil, &Error{File: file, Line: i + 1, What: "expected NAME=value"}
		}
		if _, twice := env[m[1]]; twice {
			return nil, &Error{File: file, Line: i + 1, What: m[1] + " is set twice"}
		}
		value, ok := envValue(m[2])
		if !ok {
			return nil, &Error{File: file, Line: i + 1,
				What: m[1] + ": expected a value whose quotes are closed, and nothing behind them"}
		}
		env[m[1]] = value
	}
	return env, nil
}

var escapes = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n", `\r`, "\r", `\t`, "\t")

var (
	doubleForm = regexp.MustCompile(`^"((?:[^"\\]|\\.)*)"[ \t]*(?:#.*)?$`)
	singleForm = regexp.MustCompile(`^'([^']*)'[ \t]*(?:#.*)?$`)
)

func envValue(text string) (value string, ok bool) {
	if text == "" || text[0] != '"' && text[0] != '\'' {
		if i := strings.Index(" "+text, " #"); i >= 0 {
			text = text[:max(0, i-1)]
		}
		return strings.TrimRight(text, " \t"), true
	}
	if m := doubleForm.FindStringSubmatch(text); m != nil {
		return escapes.Replace(m[1]), true
	}
	if m := singleForm.FindStringSubmatch(text); m != nil {
		return m[1], true
	}
	return "", false
}
