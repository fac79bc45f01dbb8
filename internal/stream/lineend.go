package stream

import "bytes"

// lineEnd returns the length of the line end at b[i], which is '\n' or '\r': LF,
// CR LF, CR CR LF (of files that were converted twice), or CR alone. It is 0 if
// that depends on what comes behind b; final says that nothing does.
func lineEnd(b []byte, i int, final bool) int {
	rest := b[i:]
	switch {
	case rest[0] == '\n':
		return 1
	case len(rest) > 1 && rest[1] == '\n':
		return 2
	case len(rest) > 2 && rest[1] == '\r' && rest[2] == '\n':
		return 3
	case final || len(rest) > 2 || len(rest) == 2 && rest[1] != '\r':
		return 1
	}
	return 0
}

// indexFrom is bytes.IndexByte from an index on; len(b) = not found.
func indexFrom(b []byte, from int, c byte) int {
	if i := bytes.IndexByte(b[from:], c); i >= 0 {
		return from + i
	}
	return len(b)
}

// A lineFinder finds line ends in a buffer, one after the other. It remembers
// where the next LF and the next CR are, so that a file that has only one of
// them is not searched for the other again and again.
type lineFinder struct {
	lf, cr int // the first ones at or behind the place of the last search; smaller = to be searched
}

// reset says that the buffer has changed.
func (f *lineFinder) reset() { f.lf, f.cr = -1, -1 }

// next returns where the first line end in b[from:] begins and where the next
// line does. next is 0 if more is needed to tell; end is then where to go on.
func (f *lineFinder) next(b []byte, from int, final bool) (end, next int) {
	if f.lf < from {
		f.lf = indexFrom(b, from, '\n')
	}
	if f.cr < from {
		f.cr = indexFrom(b, from, '\r')
	}
	end = min(f.lf, f.cr)
	if end == len(b) {
		return end, 0
	}
	n := lineEnd(b, end, final)
	if n == 0 {
		return end, 0
	}
	return end, end + n
}

// nextLine returns where the next line begins in b, which ends within a line at
// from. ok is false if it doesn't begin in b; next is then where to go on.
func nextLine(b []byte, from int, final bool) (next int, ok bool) {
	f := lineFinder{-1, -1}
	end, next := f.next(b, from, final)
	if next == 0 {
		return end, false
	}
	return next, true
}
