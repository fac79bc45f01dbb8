package jobstore

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"longshore/job"
)

// Fields of the stored record. Short, since a million of them wait in Redis:
//
//	v   version of this layout      t   type
//	s   state                       q   lane and priority, "io-high"
//	n   rev                         d   delivery
//	a   attempts consumed           m   max attempts
//	f   fence of the run or upload  lf  last fence that finished
//	c   created                     at  run at
//	st  started (last time)         fi  finished
//	x   expires at                  to  timeout of an attempt
//	rt  retention                   cr  cancel requested
//	ls  leases lost in a row        k   wait until the next look
//	ka  delivery seen active        ro  retry of
//	ik  hash of the idempotency key ih  digest of the request
//	ec  failure code                u   usage: wall ms, CPU ms, peak bytes
//	cb  has a callback
//	ux  end of an upload in pieces
//
// Times and durations are in milliseconds.

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
	Spec      Spec // only from ReadSpec
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

func (f *fields) time(name string) *time.Time {
	n := f.num(name)
	if n == 0 {
		return nil
	}
	t := time.UnixMilli(n).UTC()
	return &t
}

// decode turns the reply of script read into a record.
func decode(id job.ID, reply []any) (Record, error) {
	flat, _ := reply[1].([]any)
	f := newFields(flat)
	state := job.State(f.m["s"])
	r := Record{
		Fence: f.m["f"], Delivery: f.num("d"), Losses: int(f.num("ls")), UploadEnd: f.time("ux"),
		Timeout:   time.Duration(f.num("to")) * time.Millisecond,
		Retention: time.Duration(f.num("rt")) * time.Millisecond,
		NextLook:  time.Duration(f.num("k")) * time.Millisecond,
		Callback:  f.m["cb"] != "",
		Snapshot: job.Snapshot{
			ID: id, Type: f.m["t"], State: state, Done: state.Terminal(), Rev: f.num("n"),
			Attempt: int(f.num("a")), MaxAttempts: int(f.num("m")),
			CancelRequested: f.m["cr"] == "1" || state == job.Canceled, RetryOf: job.ID(f.m["ro"]),
			RunAt: f.time("at"), StartedAt: f.time("st"), FinishedAt: f.time("fi"), ExpiresAt: f.time("x"),
		},
	}
	snap := &r.Snapshot
	snap.Lane, snap.Priority = splitQueue(f.m["q"])
	if state == job.Running {
		snap.Attempt++
	}
	if created := f.time("c"); created != nil {
		snap.CreatedAt = *created
	} else {
		f.bad = "c"
	}
	err := decodeDetails(snap, f, text(reply[2]), text(reply[3]), reply[4])
	if err == nil && f.bad != "" {
		err = fmt.Errorf("field %s", f.bad)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w: %w", id, job.ErrDamaged, err)
	}
	return r, nil
}

// decodeDetails reads what has keys of its own: result, progress, errors.
func decodeDetails(snap *job.Snapshot, f *fields, result, progress string, errs any) error {
	if result != "" {
		var st stored
		if err := json.Unmarshal([]byte(result), &st); err != nil {
			return fmt.Errorf("result: %w", err)
		}
		snap.Result = st.Result
		for _, o := range st.Outputs {
			snap.Outputs = append(snap.Outputs, job.Output{Name: o.Name, Size: o.Size, ContentType: o.ContentType,
				SHA256: o.SHA256, Blob: o.Blob})
		}
	}
	if progress != "" {
		snap.Progress = &job.Progress{}
		if err := json.Unmarshal([]byte(progress), snap.Progress); err != nil {
			return fmt.Errorf("progress: %w", err)
		}
	}
	if u := f.m["u"]; u != "" {
		snap.Usage = &job.Usage{}
		if _, err := fmt.Sscan(u, &snap.Usage.WallMS, &snap.Usage.CPUMS, &snap.Usage.PeakRSSBytes); err != nil {
			return fmt.Errorf("usage: %w", err)
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
