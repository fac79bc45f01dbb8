package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"
)

// maxEvent is the most that one event may have, in bytes: a snapshot with the
// largest result and many outputs.
const maxEvent = 4 << 20

var errEventTooLong = fmt.Errorf("an event is over %d bytes", maxEvent)

// An event is one of Server-Sent Events.
type event struct {
	name string // "message" where none is given
	data []byte // its lines joined by \n
}

// An eventReader decodes an event stream, as the HTML standard says in section
// 9.2.6, but for the id: a snapshot tells its revision itself.
type eventReader struct {
	lines *bufio.Reader
	begun bool
	skip  bool          // the last line ended with CR: an LF belongs to it
	retry time.Duration // the last one that was sent; 0 = none
}

func newEventReader(r io.Reader) *eventReader { return &eventReader{lines: bufio.NewReader(r)} }

// next returns the next event that has data. An event that is cut off is none.
func (d *eventReader) next() (event, error) {
	var e event
	size, filled := 0, false
	for {
		line, err := d.line(maxEvent - size)
		if err != nil {
			return event{}, err
		}
		size += len(line)
		if len(line) == 0 {
			if filled {
				if e.name == "" {
					e.name = "message"
				}
				return e, nil
			}
			e, size = event{}, 0
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			e.name = string(value)
		case "data":
			if filled {
				e.data = append(e.data, '\n')
			}
			e.data, filled = append(e.data, value...), true
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				d.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// line returns the next line without its end, CR, LF or both. What is behind
// the last end is not a line.
func (d *eventReader) line(limit int) ([]byte, error) {
	if !d.begun {
		d.begun = true
		if mark, err := d.lines.Peek(3); err == nil && string(mark) == "\ufeff" {
			_, _ = d.lines.Discard(3) // they are there
		}
	}
	var line []byte
	for {
		c, err := d.lines.ReadByte()
		if err != nil {
			return nil, err
		}
		skip := d.skip
		d.skip = false
		switch {
		case c == '\n' && skip:
		case c == '\n':
			return line, nil
		case c == '\r':
			d.skip = true
			return line, nil
		case len(line) >= limit:
			return nil, errEventTooLong
		default:
			line = append(line, c)
		}
	}
}
