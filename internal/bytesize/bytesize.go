// Package bytesize reads and writes numbers of bytes as people do: 512MiB (powers
// of 1024), 10GB (powers of 1000), or 4096.
package bytesize

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// ErrForm says what a size looks like.
var ErrForm = errors.New("expected a size like 512MiB, 10GB or a number of bytes")

// units are in the order in which Format tries them.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
}

// Format writes a number in the largest unit that needs no fraction.
func Format(bytes int64) string {
	for _, u := range units {
		if bytes != 0 && bytes%u.bytes == 0 {
			return strconv.FormatInt(bytes/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

// Parse reads what Format writes, and a bare number, in any case. The error is
// ErrForm.
func Parse(text string) (int64, error) {
	digits, unit := text, int64(1)
	for _, u := range units {
		if cut := len(text) - len(u.name); cut > 0 && strings.EqualFold(text[cut:], u.name) {
			digits, unit = text[:cut], u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > uint64(math.MaxInt64/unit) {
		return 0, ErrForm
	}
	return int64(n) * unit, nil
}
