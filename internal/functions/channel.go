package functions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"longshore/handlers"
	"longshore/internal/httpapi"
	"longshore/internal/printable"
	"longshore/internal/strictjson"
	"longshore/job"
)

// Limits of the channel.
const (
	MaxChannelLine = 128 << 10 // bytes; a longer one is a line of the log
	MaxSubmits     = 100
)

// Said is what a program said of its end over the channel.
type Said struct {
	Result  []byte // nil = nothing
	Fail    *string
	RetryIn time.Duration // 0 = nothing
	Submit  []json.RawMessage
	// Err is what can't be let pass: a result that is too long, too many jobs.
	Err error
}

// A Channel reads what a program says on its way: lines of JSON, each an object with
// progress, result, fail, retry_in or submit. What it can't read it logs. It is an
// io.Writer that never fails and holds MaxChannelLine at most.
type Channel struct {
	Run *handlers.Run
	Log func(Line) // nil = nobody listens

	begun []byte
	over  bool

	mu   sync.Mutex
	said Said
}

// Write takes the next bytes. Only one goroutine may call it and Close.
func (c *Channel) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if room := MaxChannelLine - len(c.begun); len(line) > room {
			line, c.over = line[:room], true
		}
		c.begun = append(c.begun, line...)
		if ended {
			c.end()
		}
		p = rest
	}
	return n, nil
}

// Close takes a last line that has no end, and returns what was said in all.
func (c *Channel) Close() Said {
	if len(c.begun) > 0 {
		c.end()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said
}

// HasResult reports whether a result was said by now. It may be called at any time.
func (c *Channel) HasResult() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.Result != nil
}

func (c *Channel) end() {
	text := bytes.TrimSpace(c.begun)
	err := errors.New("longer than 128 KiB")
	if !c.over {
		err = c.take(text)
	}
	if err != nil && c.Log != nil {
		c.Log(Line{slog.LevelWarn, fmt.Sprintf("channel: %s: %s", printable.Text(err.Error()),
			printable.Text(string(text[:min(len(text), 1000)])))})
	}
	c.begun, c.over = c.begun[:0], false
}

// take reads one line. Nothing of a wrong one counts.
func (c *Channel) take(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	said, progress := c.said, func() {}
	err := strictjson.Fields(text, func(name, value []byte) (err error) {
		switch string(name) {
		case "progress":
			progress, err = c.progress(value)
		case "result":
			said.Result = bytes.Clone(value)
			if len(value) > job.MaxDocument {
				said.Err = handlers.FailWith(job.OutputLimit,
					fmt.Errorf("result is over %d bytes; write an output", job.MaxDocument))
			}
		case "fail":
			var why string
			if err = text1(value, &why); err == nil {
				said.Fail = &why
			}
		case "retry_in":
			said.RetryIn, err = readPause(value)
		case "submit":
			if len(said.Submit) >= MaxSubmits {
				said.Err = handlers.Fail(fmt.Errorf("more than %d jobs submitted by one", MaxSubmits))
			} else {
				said.Submit = append(said.Submit[:len(said.Submit):len(said.Submit)], bytes.Clone(value))
			}
		default:
			err = errUnknownField
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.said = said
	progress()
	return nil
}

func text1(value []byte, to *string) error { return text(value, to, MaxChannelLine) }

// progress reads done, total and note; the function tells them.
func (c *Channel) progress(value []byte) (tell func(), err error) {
	var p struct {
		Done, Total *float64
		Note        *string
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.DisallowUnknownFields()
	if dec.Decode(&p) != nil || p.Done != nil && *p.Done < 0 || p.Total != nil && *p.Total < 0 {
		return nil, errors.New(`expected {"done": number, "total": number, "note": text}`)
	}
	return func() {
		if p.Note != nil {
			c.Run.Note(*p.Note)
		}
		if p.Done == nil {
			return
		}
		done, total := *p.Done, 0.0
		if p.Total != nil {
			total = *p.Total
		}
		if done != math.Trunc(done) || total != math.Trunc(total) { // as 0.25 of 1
			done, total = done*1e6, total*1e6
		}
		c.Run.Progress(count(done), count(total))
	}, nil
}

func count(n float64) int64 { return int64(min(n, 1e15)) }

func readPause(value []byte) (time.Duration, error) {
	var s string
	if text1(value, &s) != nil {
		s = string(value) // a number of seconds
	}
	d, err := httpapi.ParseDuration(s)
	if err != nil {
		return 0, err
	}
	if d < 0 || d > 366*24*time.Hour {
		return 0, errors.New("expected a pause of up to 8784h")
	}
	return max(d, time.Millisecond), nil
}
