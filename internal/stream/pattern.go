package stream

import (
	"errors"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of regular expressions, for one and for all of a request. They are
// judged by their text and their syntax tree: a kilobyte can be a program of
// 100,000 instructions.
const (
	MaxPattern  = 2000   // instructions
	MaxPatterns = 10_000 // … of all together

	maxReading = 100_000 // what reading one may cost: characters looked at
)

// ErrPatternSize says that a pattern is too large.
var ErrPatternSize = errors.New("is too large: its repeats and classes count as often as they are repeated")

// A PatternJudge judges the patterns of one request. The zero value is ready.
type PatternJudge struct{ size, reading int }

// Judge returns an error for a pattern that is none, and ErrPatternSize for one
// that is too large, alone or beside those before. It compiles nothing.
func (j *PatternJudge) Judge(pattern string) error {
	if j.reading += readingCost(pattern); j.reading > maxReading {
		return ErrPatternSize
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return err
	}
	size := instructions(tree)
	if j.size += size; size > MaxPattern || j.size > MaxPatterns {
		return ErrPatternSize
	}
	return nil
}

// Size is how many instructions the patterns judged so far have, about.
func (j *PatternJudge) Size() int { return j.size }

// What the parser does for some parts of a pattern, measured against a step of
// folding one character.
const (
	tableCost = 4000    // of \p{…}, which is a list of some hundred ranges
	foldMost  = 0x1e943 // the last character that has another case
)

// readingCost estimates what parsing costs. Where case doesn't count, the parser
// goes through each range of a class character by character.
func readingCost(pattern string) int {
	cost, fold := len(pattern), foldsCase(pattern)
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			if i++; i < len(pattern) && pattern[i]|0x20 == 'p' {
				cost += tableCost
			}
		case '-':
			if fold {
				cost += min(rangeEnd(pattern[i+1:]), foldMost)
			}
		}
	}
	return cost
}

// foldsCase reports whether a pattern may have the flag i somewhere.
func foldsCase(pattern string) bool {
	for {
		_, after, found := strings.Cut(pattern, "(?")
		if !found {
			return false
		}
		flags := strings.TrimLeft(after, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")
		if strings.Contains(after[:len(after)-len(flags)], "i") {
			return true
		}
		pattern = after
	}
}

// rangeEnd is the character that ends a range, if the text begins with one.
func rangeEnd(text string) int {
	if !strings.HasPrefix(text, `\`) {
		r, _ := utf8.DecodeRuneInString(text)
		return int(r)
	}
	digits, base := text[1:], 8
	if rest, ok := strings.CutPrefix(text, `\x`); ok {
		digits, base = strings.TrimPrefix(rest, "{"), 16
	}
	rest := strings.TrimLeft(digits, "0123456789abcdefABCDEF")
	n, err := strconv.ParseUint(digits[:len(digits)-len(rest)], base, 31)
	if err != nil {
		return 0x100 // an escaped sign
	}
	return int(n)
}

// instructions is how long the program of a pattern is, about.
func instructions(re *syntax.Regexp) int {
	const most = 1 << 20 // so that no product overflows
	n := 1
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCapture:
		n = 2
	case syntax.OpRepeat:
		sub := instructions(re.Sub[0])
		if re.Max < 0 {
			return min(max(re.Min, 1)*sub+1, most)
		}
		return min(re.Max*sub+re.Max-re.Min+1, most)
	}
	for _, sub := range re.Sub {
		n = min(n+instructions(sub), most)
	}
	return n
}
