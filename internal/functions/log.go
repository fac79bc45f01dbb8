package functions

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"unicode/utf8"

	"longshore/internal/printable"
)

// MaxLine is how much of a line a log keeps, in bytes: the rest is cut off and marked.
const MaxLine = 16 << 10

const cutMark = " … (cut)"

// A LogWriter makes lines of what a program writes. Of one that is written over again and again, as
// progress bars are, the newest state counts. A line that is an object of JSON
// gives its level and msg. It never fails and holds MaxLine at most. Only one goroutine
// may use it.
type LogWriter struct {
	Log   func(Line)
	Level slog.Level // of lines that don't say

	begun []byte
	over  bool // the line is longer than is kept
	back  bool // a carriage return came last: what follows is written over the line, unless it ends
	last  string
}

// Write takes the next bytes.
func (w *LogWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if w.back && p[0] != '\r' {
			if w.back = false; p[0] != '\n' {
				w.begun, w.over = w.begun[:0], false
			}
		}
		line, rest := p, []byte(nil)
		i := bytes.IndexAny(p, "\r\n")
		if i >= 0 {
			line, rest = p[:i], p[i+1:]
		}
		if room := MaxLine - len(w.begun); len(line) > room {
			line, w.over = line[:room], true
		}
		w.begun = append(w.begun, line...)
		switch {
		case i >= 0 && p[i] == '\n':
			w.end()
		case i >= 0:
			w.back = true
		}
		p = rest
	}
	return n, nil
}

// Flush ends the last line, if it has no end, and returns the last one that was not empty.
func (w *LogWriter) Flush() string {
	if len(w.begun) > 0 {
		w.end()
	}
	w.back = false
	return w.last
}

func (w *LogWriter) end() {
	if len(bytes.TrimSpace(w.begun)) > 0 {
		line := parseLine(w.begun, w.Level)
		if w.over {
			line.Text += cutMark
		}
		w.last = line.Text
		if w.Log != nil {
			w.Log(line)
		}
	}
	w.begun, w.over = w.begun[:0], false
}

func parseLine(text []byte, level slog.Level) Line {
	line := Line{Level: level}
	if text[0] == '{' {
		var fields map[string]json.RawMessage
		var msg string
		if json.Unmarshal(text, &fields) == nil && json.Unmarshal(fields["msg"], &msg) == nil {
			line.Level = levelOf(fields["level"], level)
			line.Text = printable.Text(msg)
			delete(fields, "msg")
			delete(fields, "level")
			if rest, err := json.Marshal(fields); err == nil && len(fields) > 0 { // what else it says stays
				line.Text += " " + printable.Text(string(rest))
			}
			return line
		}
	}
	line.Text = printable.Text(strings.ToValidUTF8(string(text), string(utf8.RuneError)))
	return line
}

// levelOf reads a level as loggers write it: a word of slog, of Node's pino (a number
// of tens), or others' words for the same.
func levelOf(raw json.RawMessage, otherwise slog.Level) slog.Level {
	var word string
	var number int
	if json.Unmarshal(raw, &number) == nil {
		return slog.Level((number - 30) / 10 * 4) // 20 debug, 30 info, 40 warn, 50 error
	}
	if json.Unmarshal(raw, &word) != nil {
		return otherwise
	}
	switch strings.ToLower(word) {
	case "trace", "debug":
		return slog.LevelDebug
	case "info", "notice":
		return slog.LevelInfo
	case "warn", "warning":
		return slog.LevelWarn
	case "error", "critical", "fatal", "panic", "emerg", "alert":
		return slog.LevelError
	}
	return otherwise
}
