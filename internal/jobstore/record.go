package jobstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// A Record is one job as it is stored, decoded.
type Record struct {
	Snapshot  job.Snapshot
	Fence     string // of the run under way
	Delivery  int64
	Timeout   time.Duration
	Retention time.Duration
	Losses    int
	UploadEnd *time.Time // of an upload in pieces, unless more comes; nil of all others
	Callback  bool       // it has one
	RunAnyway bool       // whatever becomes of those that it is after
	Owner     access.Owner
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

// Fields of x:, the rare ones: ro retry of, ec a failure code that has no byte, lo other runs lost since
// the last failed attempt, lb labels, ra and rb the job that is its retry, and who retried, lg its stored
// logs, ux end of an upload in pieces, k wait until its next look, sn and sk the schedule that made it, and
// its tick; lk what limits tell it apart by; bn its name in its batch; di whether
// its input goes sooner than the job, and ig when it went; those of jobs that wait, of limits, of
// unique jobs and of batches stand in wait.lua, slots.lua, unique.lua and batches.lua.

// decode makes a record of what was read.
func (r *record) decode(id job.ID, h head, v sideValues, spec bool) (Record, error) {
	rare := &fields{m: v.rare}
	d := Record{
		Fence: writeFence(r.fence), Delivery: r.delivery, Losses: r.losses, UploadEnd: rare.time("ux"),
		Timeout: h.timeout, Retention: h.retention, Callback: r.has(flagO), RunAnyway: v.rare["ar"] != "",
		Snapshot: job.Snapshot{
			ID: id, Type: h.kind, State: r.state, Done: r.state.Terminal(), Rev: r.rev,
			Attempt: r.attempts, MaxAttempts: h.maxAttempts,
			CancelRequested: r.has(flagC) || r.state == job.Canceled, RetryOf: job.ID(v.rare["ro"]),
			RetriedAs: job.ID(v.rare["ra"]), Labels: labelsOf(v.rare["lb"]), Worker: r.workerID(),
			CreatedAt: time.UnixMilli(r.created).UTC(), RunAt: timeOf(r.runAt), StartedAt: timeOf(r.started),
			FinishedAt: timeOf(r.finished), ExpiresAt: timeOf(r.expires), Usage: r.usage,
		},
	}
	snap := &d.Snapshot
	if name := v.rare["sn"]; name != "" {
		snap.Schedule = &job.ScheduleTick{Name: name, Tick: rare.time("sk")}
	}
	if snap.LimitKey = v.rare["lk"]; r.state == job.Queued {
		snap.Limit = limitOf(v.rare["lp"])
	}
	snap.Batch, snap.Name = r.batch, v.rare["bn"]
	snap.DeleteInput, snap.InputDeletedAt = v.rare["di"], rare.time("ig")
	snap.Traceparent = r.traceparent()
	snap.After, snap.Hold = afterOf(v.rare["af"]), holdOf(v.rare)
	if r.function > 0 {
		snap.Function = &job.FunctionRun{Version: r.function}
	}
	at := job.ParsePlace(h.queue)
	snap.Lane, snap.Priority, snap.Queue = at.Lane, at.Priority, at.Queue
	told, ok := decodeNames(r.names)
	if !ok {
		return d, errors.New("names")
	}
	d.Owner = access.Owner{Tenant: h.tenant, Subject: told.subject}
	tellOwner(snap, d.Owner)
	if r.state == job.Running {
		snap.Attempt++
	}
	if r.result != "" {
		v.result = r.result
	}
	if err := decodeDetails(snap, v); err != nil {
		return d, err
	}
	if r.state == job.Canceled && r.code > 0 {
		snap.Error = &job.Error{Code: r.codeOf(v.rare), Message: job.Culprit(snap.After)}
	}
	if r.state == job.Failed {
		snap.Error = &job.Error{Code: r.codeOf(v.rare)}
		if n := len(snap.Errors); n > 0 {
			snap.Error.Message = snap.Errors[n-1].Message
		}
	}
	if h.kind == job.BatchType {
		tellBatch(snap, v.rare)
	}
	if rare.bad != "" {
		return d, fmt.Errorf("field %s", rare.bad)
	}
	var err error
	if d.Spec, err = r.spec(v.spec); err != nil || !spec && r.has(flagP) {
		d.Spec = Spec{}
	}
	return d, err
}

// holdOf is why a job is held, or was until somebody released it; nil of others.
func holdOf(rare map[string]string) *job.Hold {
	why := rare["ho"]
	if why == "" {
		return nil
	}
	at, by, _ := strings.Cut(rare["hr"], " ")
	return &job.Hold{Why: why, ReleasedAt: timeOf(integer(at)), ReleasedBy: by}
}

// labelsOf reads labels that were checked when they came in; what isn't any, by a strange hand, is none.
func labelsOf(text string) job.Labels {
	l, err := job.ParseLabels(text)
	if err != nil {
		return nil
	}
	return l
}

func (r *record) codeOf(rare map[string]string) job.Code {
	if int(r.code) < len(codes) {
		return codes[r.code]
	}
	return job.Code(rare["ec"])
}

// spec is what the job is to do; apart is what key p: has of it.
func (r *record) spec(apart string) (Spec, error) {
	if r.payload != "" {
		return Spec{Payload: json.RawMessage(r.payload)}, nil
	}
	return decodeSpec(apart)
}

// decodeDetails reads result, progress, errors.
func decodeDetails(snap *job.Snapshot, v sideValues) error {
	if v.result != "" {
		st, err := decodeResult(v.result)
		if err != nil {
			return fmt.Errorf("result: %w", err)
		}
		snap.Result = st.Result
		for _, o := range st.Outputs {
			snap.Outputs = append(snap.Outputs, job.Output{Name: o.Name, Size: o.Size,
				ContentType: o.ContentType,
				SHA256:      o.SHA256, Blob: o.Blob})
		}
	}
	if v.progress != "" {
		var err error
		if snap.Progress, err = decodeProgress(v.progress); err != nil {
			return fmt.Errorf("progress: %w", err)
		}
	}
	snap.Overall = job.Overall(snap.State, snap.Progress)
	for _, one := range v.errs {
		parts := strings.SplitN(one, " ", 4)
		if len(parts) != 4 {
			return errors.New("attempt error")
		}
		attempt, by, _ := strings.Cut(parts[1], "/")
		e := job.AttemptError{Attempt: int(integer(attempt)), Code: job.Code(parts[2]), Message: parts[3],
			At: time.UnixMilli(integer(parts[0])).UTC()}
		if by := integer(by); by > 0 {
			e.Function = &job.FunctionRun{Version: by}
		}
		snap.Errors = append(snap.Errors, e)
	}
	return nil
}

// tellOwner puts whose a job is into a snapshot, where there is something to tell.
func tellOwner(snap *job.Snapshot, o access.Owner) {
	snap.Subject = o.Subject
	if o.Of() != access.DefaultTenant {
		snap.Tenant = o.Tenant
	}
}

// names are the texts of part U, each written as a letter, its length and itself.
type names struct {
	subject string // s
}

func encodeNames(n names) string {
	return "s" + string([]byte{byte(len(n.subject))}) + n.subject
}

// decodeNames reads part U. Letters that it doesn't know are of a later release, and stay.
func decodeNames(text string) (n names, ok bool) {
	for len(text) >= 2 && len(text) >= 2+int(text[1]) {
		value := text[2 : 2+int(text[1])]
		if text[0] == 's' {
			n.subject = value
		}
		text = text[2+len(value):]
	}
	return n, text == ""
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
	if only, ok := strings.CutPrefix(text, `{"r":`); ok && strings.HasSuffix(only, "}") &&
		!strings.HasSuffix(only, "]}") {
		if st.Result = json.RawMessage(only[:len(only)-1]); json.Valid(st.Result) {
			return st, nil
		}
	}
	st = stored{}
	err = json.Unmarshal([]byte(text), &st)
	return st, err
}
