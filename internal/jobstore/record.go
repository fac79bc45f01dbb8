package jobstore

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"longshore/job"
)

// Fields of the stored record. What a move reads is packed in two of them, for
// each field costs Redis a search and Lua a string; both stay below the 64
// bytes up to which Redis packs a hash.
//
//	h   what never changes: version, lane and priority ("io-high"), max attempts, timeout,
//	    retention, expires at (0 = never), has a callback (0, 1), type
//	m   what moves: state (a letter), rev, delivery, attempts consumed, young runs lost in a row,
//	    started (last time, 0 = never), cancel requested (0, 1), fence of the run or upload,
//	    last fence that finished (- = none)
//	c   created                     fi  finished
//	at  run at                      ro  retry of
//	ik  hash of the idempotency key ih  digest of the request, if its key or id was chosen
//	k   wait until the next look    ka  delivery seen active
//	ec  failure code                u   usage: wall ms, CPU ms, peak bytes
//	lo  other runs lost since the last failed attempt
//	ux  end of an upload in pieces  p   what it is to do, if that is short (script.go, shortSpec)
//
// Times and durations are in milliseconds.

// stateLetters are how field m spells the states.
var stateLetters = map[job.State]string{
	job.Uploading: "u", job.Scheduled: "w", job.Queued: "q", job.Running: "r", job.Retrying: "y",
	job.Succeeded: "s", job.Failed: "f", job.Canceled: "c", job.Expired: "x",
}

// states is the way back.
var states = func() map[string]job.State {
	m := map[string]job.State{}
	for s, letter := range stateLetters {
		m[letter] = s
	}
	return m
}()

// A head is field h, decoded.
type head struct {
	callback                    bool
	queue, kind                 string
	maxAttempts                 int
	timeout, retention, expires int64
}

// A moving is field m, decoded.
type moving struct {
	state            job.State
	rev, delivery    int64
	attempts, losses int
	started          int64
	cancel           bool
	fence, last      string
}

// cut cuts a packed field at its spaces; it must have exactly len(w) words.
func cut(packed string, w []string) bool {
	for i := range len(w) - 1 {
		word, rest, ok := strings.Cut(packed, " ")
		if !ok {
			return false
		}
		w[i], packed = word, rest
	}
	w[len(w)-1] = packed
	return packed != "" && !strings.Contains(packed, " ")
}

func parseHead(packed string) (h head, err error) {
	var w [8]string
	if !cut(packed, w[:]) || w[0] != versionText {
		return h, errors.New("field h")
	}
	n := numbers{}
	h = head{queue: w[1], callback: w[6] == "1", kind: w[7], maxAttempts: int(n.parse(w[2])), timeout: n.parse(w[3]), retention: n.parse(w[4]), expires: n.parse(w[5])}
	return h, n.err("field h")
}

func parseMoving(packed string) (m moving, err error) {
	var w [9]string
	if !cut(packed, w[:]) {
		return m, errors.New("field m")
	}
	n := numbers{}
	m = moving{state: states[w[0]], rev: n.parse(w[1]), delivery: n.parse(w[2]), attempts: int(n.parse(w[3])),
		losses: int(n.parse(w[4])), started: n.parse(w[5]), cancel: w[6] == "1", fence: w[7], last: w[8]}
	if m.state == "" {
		return m, errors.New("field m")
	}
	return m, n.err("field m")
}

// numbers parses and remembers whether any was none.
type numbers struct{ bad bool }

func (n *numbers) parse(s string) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	n.bad = n.bad || err != nil
	return v
}

func (n *numbers) err(where string) error {
	if n.bad {
		return errors.New(where)
	}
	return nil
}

// A Record is one job as it is stored, decoded.
type Record struct {
	Snapshot  job.Snapshot
	Fence     string // of the run under way
	Delivery  int64
	Timeout   time.Duration
	Retention time.Duration
	Losses    int
	UploadEnd *time.Time // of an upload in pieces, unless more comes; nil of all others
	NextLook  time.Duration
	Callback  bool // it has one
	Spec      Spec // only from Read
}

// fields reads a flat HGETALL reply and remembers whether any number was none.
type fields struct {
	m   map[string]string
	bad string
}

func newFields(flat []any) *fields {
	f := &fields{m: make(map[string]string, len(flat)/2)}
	for i := 0; i+1 < len(flat); i += 2 {
		f.m[text(flat[i])] = text(flat[i+1])
	}
	return f
}

func (f *fields) num(name string) int64 {
	v, ok := f.m[name]
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		f.bad = name
	}
	return n
}

func (f *fields) time(name string) *time.Time { return timeOf(f.num(name)) }

// timeOf is the time of a stamp; nil for 0.
func timeOf(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

// decode turns the reply of readRecords into a record.
func decode(id job.ID, reply []any) (Record, error) {
	flat, _ := reply[1].([]any)
	f := newFields(flat)
	h, err1 := parseHead(f.m["h"])
	m, err2 := parseMoving(f.m["m"])
	r := Record{
		Fence: m.fence, Delivery: m.delivery, Losses: m.losses, UploadEnd: f.time("ux"),
		Timeout:   time.Duration(h.timeout) * time.Millisecond,
		Retention: time.Duration(h.retention) * time.Millisecond,
		NextLook:  time.Duration(f.num("k")) * time.Millisecond,
		Callback:  h.callback,
		Snapshot: job.Snapshot{
			ID: id, Type: h.kind, State: m.state, Done: m.state.Terminal(), Rev: m.rev,
			Attempt: m.attempts, MaxAttempts: h.maxAttempts,
			CancelRequested: m.cancel || m.state == job.Canceled, RetryOf: job.ID(f.m["ro"]),
			RunAt: f.time("at"), StartedAt: timeOf(m.started), FinishedAt: f.time("fi"), ExpiresAt: timeOf(h.expires),
		},
	}
	snap := &r.Snapshot
	snap.Lane, snap.Priority = splitQueue(h.queue)
	if m.state == job.Running {
		snap.Attempt++
	}
	if created := f.time("c"); created != nil {
		snap.CreatedAt = *created
	} else {
		f.bad = "c"
	}
	err := errors.Join(err1, err2)
	if err == nil {
		err = decodeDetails(snap, f, text(reply[2]), text(reply[3]), reply[4])
	}
	if err == nil && f.bad != "" {
		err = fmt.Errorf("field %s", f.bad)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w: %w", id, job.ErrDamaged, err)
	}
	if len(reply) > 5 { // it was asked for
		r.Spec, err = decodeSpec(cmp.Or(f.m["p"], text(reply[5])))
	}
	return r, err
}

// decodeDetails reads what has keys of its own: result, progress, errors.
func decodeDetails(snap *job.Snapshot, f *fields, result, progress string, errs any) error {
	if result != "" {
		st, err := decodeResult(result)
		if err != nil {
			return fmt.Errorf("result: %w", err)
		}
		snap.Result = st.Result
		for _, o := range st.Outputs {
			snap.Outputs = append(snap.Outputs, job.Output{Name: o.Name, Size: o.Size, ContentType: o.ContentType,
				SHA256: o.SHA256, Blob: o.Blob})
		}
	}
	if progress != "" {
		var err error
		if snap.Progress, err = decodeProgress(progress); err != nil {
			return fmt.Errorf("progress: %w", err)
		}
	}
	snap.Overall = job.Overall(snap.State, snap.Progress)
	if u := f.m["u"]; u != "" {
		var w [3]string
		if !cut(u, w[:]) {
			return errors.New("usage")
		}
		n := numbers{}
		snap.Usage = &job.Usage{WallMS: n.parse(w[0]), CPUMS: n.parse(w[1]), PeakRSSBytes: n.parse(w[2])}
		if err := n.err("usage"); err != nil {
			return err
		}
	}
	list, _ := errs.([]any)
	for _, one := range list {
		parts := strings.SplitN(text(one), " ", 4)
		if len(parts) != 4 {
			return fmt.Errorf("attempt error")
		}
		at, attempt := integer(parts[0]), integer(parts[1])
		snap.Errors = append(snap.Errors, job.AttemptError{Attempt: int(attempt), Code: job.Code(parts[2]),
			Message: parts[3], At: time.UnixMilli(at).UTC()})
	}
	if snap.State == job.Failed {
		snap.Error = &job.Error{Code: job.Code(f.m["ec"])}
		if n := len(snap.Errors); n > 0 {
			snap.Error.Message = snap.Errors[n-1].Message
		}
	}
	return nil
}

// storedProgress is key g.
type storedProgress struct {
	*job.Progress
	Reached float64 `json:"o,omitempty"`
}

func encodeProgress(p *job.Progress) (string, error) {
	text, err := json.Marshal(storedProgress{p, p.Reached})
	return string(text), err
}

func decodeProgress(text string) (*job.Progress, error) {
	p := storedProgress{Progress: &job.Progress{}}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, err
	}
	got := p.Progress
	if got.Reached = p.Reached; p.Reached == 0 && got.Fraction != nil { // an older release's
		if got.Reached = *got.Fraction; got.Phase == job.PhaseUpload {
			got.Reached *= job.UploadShare
		}
	}
	return got, nil
}

// decodeResult reads key r. A result without outputs, which most are, needs no
// second reading: whoever wrote it wrote nothing around it, and the text of one
// with outputs ends in "]}".
func decodeResult(text string) (st stored, err error) {
	if only, ok := strings.CutPrefix(text, `{"r":`); ok && strings.HasSuffix(only, "}") && !strings.HasSuffix(only, "]}") {
		if st.Result = json.RawMessage(only[:len(only)-1]); json.Valid(st.Result) {
			return st, nil
		}
	}
	st = stored{}
	err = json.Unmarshal([]byte(text), &st)
	return st, err
}
