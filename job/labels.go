package job

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Labels are what whoever submits a job wants to find it by: names and values.
type Labels map[string]string

// Limits of Labels.
const (
	MaxLabels     = 8
	MaxLabelName  = 32 // characters
	MaxLabelValue = 64 // bytes
)

// errLabels says what labels look like.
var errLabels = errors.New("expected name=value, and a comma before each further one")

// ParseLabels reads labels as String writes them.
func ParseLabels(text string) (Labels, error) {
	if text == "" {
		return nil, nil
	}
	l := Labels{}
	for _, pair := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := l[name]; !ok || twice {
			return nil, errLabels
		}
		l[name] = value
	}
	return l, l.Check()
}

// Check says what is wrong with labels; nil if nothing is.
func (l Labels) Check() error {
	if len(l) > MaxLabels {
		return fmt.Errorf("expected at most %d labels", MaxLabels)
	}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if !validLabel(name) {
			return fmt.Errorf("label %q: expected a name of 1 to %d lower-case letters, digits, _, . and -, "+
				"a letter first", name, MaxLabelName)
		}
		value, odd := l[name], func(r rune) bool { return r == ',' || !unicode.IsPrint(r) }
		if len(value) > MaxLabelValue || !utf8.ValidString(value) || strings.ContainsFunc(value, odd) {
			return fmt.Errorf("label %s: expected up to %d bytes of printable text without a comma", name,
				MaxLabelValue)
		}
	}
	return nil
}

func validLabel(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return name != "" && len(name) <= MaxLabelName
}

// String writes labels by their names: user=7,batch=x.
func (l Labels) String() string {
	pairs := make([]string, 0, len(l))
	for _, name := range slices.Sorted(maps.Keys(l)) {
		pairs = append(pairs, name+"="+l[name])
	}
	return strings.Join(pairs, ",")
}
