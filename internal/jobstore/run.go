package jobstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"longshore/internal/batch"
	"longshore/internal/printable"
	"longshore/job"
)

// A Started is a job that a worker may run.
type Started struct {
	Type            string
	Attempt         int // this one, from 1
	MaxAttempts     int
	Timeout         time.Duration
	Losses          int  // young runs lost in a row before this start
	CancelRequested bool // since the first of several calls with this fence
	// Wait is from when it could have run, by its creation and its time, to this start.
	Wait    time.Duration
	Reached float64 // of the whole, by the upload and earlier attempts: job.Progress has it
	Spec    Spec
}

// Start takes the job of a ticket under a fence. The same fence again is the
// same start and renews the lease. suspect says that the job may be one that
// has cost workers before. Errors: ErrStale, ErrSuspect,
// job.ErrNotFound, job.ErrDamaged; any other leaves the outcome unknown.
func (s *Store) Start(ctx context.Context, t job.Ticket, fence string, suspect bool) (Started, error) {
	most := 0
	if suspect {
		most = poisonLosses
	}
	return s.StartWithin(ctx, t, fence, most)
}

// StartWithin is Start for a job that has lost most young runs in a row at the
// most, or too few to be a suspect: see Suspects.
func (s *Store) StartWithin(ctx context.Context, t job.Ticket, fence string, most int) (Started, error) {
	reply, err := s.starts.Do(ctx, s.key(t.ID), t.Delivery, fence, ms(s.lease), strconv.Itoa(most), "")
	if err != nil {
		return Started{}, err
	}
	if err := status(t.ID, reply); err != nil {
		return Started{}, err
	}
	return decodeStarted(t.ID, text(reply[1]), text(reply[2]), text(reply[3]), text(reply[4]))
}

// decodeStarted reads what script start_one answers: fields h and m, the spec
// and the past, of which the short way tells only when the job was created.
func decodeStarted(id job.ID, packedHead, packedMoving, spec, past string) (st Started, err error) {
	h, err1 := parseHead(packedHead)
	m, err2 := parseMoving(packedMoving)
	if err := errors.Join(err1, err2); err != nil {
		return st, fmt.Errorf("%s: %w: %w", id, job.ErrDamaged, err)
	}
	st = Started{Type: h.kind, Attempt: m.attempts + 1, MaxAttempts: h.maxAttempts,
		Timeout: time.Duration(h.timeout) * time.Millisecond, Losses: m.losses, CancelRequested: m.cancel}
	created, past, _ := strings.Cut(past, " ")
	runAt, progress, _ := strings.Cut(past, " ")
	if since := max(integer(created), integer(runAt)); since > 0 && m.started >= since {
		st.Wait = time.Duration(m.started-since) * time.Millisecond
	}
	if progress != "" {
		if p, err := decodeProgress(progress); err == nil { // else damaged, and about to be written anew
			st.Reached = p.Reached
		}
	}
	st.Spec, err = decodeSpec(spec)
	return st, err
}

func decodeSpec(body string) (Spec, error) {
	spec := Spec{Payload: json.RawMessage("{}")}
	if body == "" {
		return spec, nil
	}
	if err := json.Unmarshal([]byte(body), &spec); err != nil {
		return spec, fmt.Errorf("spec: %w", job.ErrDamaged)
	}
	if len(spec.Payload) == 0 {
		spec.Payload = json.RawMessage("{}")
	}
	return spec, nil
}

// A Beat says that one run or upload lives, and how far it is.
type Beat struct {
	ID       job.ID
	Fence    string
	Renew    bool          // the lease
	For      time.Duration // the lease's length, for an upload in pieces; 0 = the store's
	Progress *job.Progress // nil = no news
}

// A BeatReply answers one Beat.
type BeatReply struct {
	Cancel bool  // stop it
	Err    error // ErrLost: it is somebody else's, or ended
}

// Beats carries a whole process's beats in one round trip. The error means
// that no reply is known.
func (s *Store) Beats(ctx context.Context, beats []Beat) ([]BeatReply, error) {
	calls := make([]*batch.Call, len(beats))
	for i, b := range beats {
		progress, lease := "", "0"
		if b.Progress != nil {
			body, err := encodeProgress(b.Progress)
			if err != nil {
				return nil, err
			}
			progress = body
		}
		if b.Renew {
			lease = ms(cmp.Or(b.For, s.lease))
		}
		calls[i] = &batch.Call{Key: s.key(b.ID), Args: []any{b.Fence, lease, progress}}
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.beat, bulkSize, calls); err != nil {
		return nil, err
	}
	replies := make([]BeatReply, len(beats))
	for i, c := range calls {
		replies[i] = BeatReply{Cancel: text(c.Reply[0]) == "cancel", Err: status(beats[i].ID, c.Reply)}
	}
	return replies, nil
}

// An Outcome is the way a run or an upload ended.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "succeeded"
	Failed    Outcome = "failed"
	Retry     Outcome = "retry" // failed; again after Delay unless that was the last attempt
	Canceled  Outcome = "canceled"
	Release   Outcome = "release" // given back: no attempt, no loss; queued again after Delay
)

// An End is the end of a run or an upload.
type End struct {
	Outcome Outcome
	Delay   time.Duration // of Retry and Release
	Code    job.Code      // of Retry and Failed
	Message string
	Usage   job.Usage
	// Progress is the last and exact one; nil = as it is.
	Progress *job.Progress
	Result   json.RawMessage // of Succeeded
	Outputs  []job.Output    // of Succeeded; Blob names must lie under "<id>/<fence>/"
}

// stored is what key r holds.
type stored struct {
	Result  json.RawMessage `json:"r,omitempty"`
	Outputs []storedOutput  `json:"o,omitempty"`
}

type storedOutput struct {
	Name        string `json:"n"`
	Blob        string `json:"b"`
	Size        int64  `json:"s"`
	SHA256      string `json:"h"`
	ContentType string `json:"t"`
}

// Ended is what an end led to. A cancel request wins over any outcome.
type Ended struct {
	State  job.State
	Ticket job.Ticket // to be enqueued if State is queued
	// Callback says that the job has one, which is due if this has ended it.
	Callback bool
}

// Finish ends the run that holds the fence. It may be repeated until it is
// answered. ErrLost means that the run doesn't count.
func (s *Store) Finish(ctx context.Context, id job.ID, fence string, e End) (Ended, error) {
	result, progress := "", ""
	if len(e.Result) > 0 || len(e.Outputs) > 0 {
		st := stored{Result: e.Result}
		for _, o := range e.Outputs {
			st.Outputs = append(st.Outputs, storedOutput{o.Name, o.Blob, o.Size, o.SHA256, o.ContentType})
		}
		body, err := json.Marshal(st)
		if err != nil {
			return Ended{}, err
		}
		result = string(body)
	}
	if e.Progress != nil {
		body, err := encodeProgress(e.Progress)
		if err != nil {
			return Ended{}, err
		}
		progress = body
	}
	usage := strconv.FormatInt(e.Usage.WallMS, 10) + " " + strconv.FormatInt(e.Usage.CPUMS, 10) + " " + strconv.FormatInt(e.Usage.PeakRSSBytes, 10)
	reply, err := s.finishes.Do(ctx, s.key(id), fence, string(e.Outcome), ms(e.Delay), usage, progress,
		result, string(e.Code), oneLine(e.Message))
	if err != nil {
		return Ended{}, err
	}
	if err := status(id, reply); err != nil {
		return Ended{}, err
	}
	if len(reply) < 3 {
		return Ended{State: job.Succeeded}, nil // the usual end, said in a word
	}
	ended := Ended{State: job.State(text(reply[1])), Callback: integer(reply[3]) == 1}
	ended.Ticket, _ = ticketOf(reply[2])
	return ended, nil
}

// oneLine keeps a message short, and fit for a terminal: it may quote what a client sent.
func oneLine(message string) string {
	const most = 1000
	line := printable.Line(message[:min(len(message), 4*most)])
	if len(line) <= most && len(message) <= 4*most {
		return line
	}
	return strings.ToValidUTF8(line[:min(len(line), most)], "") + "…"
}

// Postpone puts a queued job back that can't run here: no attempt is consumed.
func (s *Store) Postpone(ctx context.Context, t job.Ticket, delay time.Duration) error {
	c := &batch.Call{Key: s.key(t.ID), Args: []any{t.Delivery, ms(delay)}}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.postpone, 1, []*batch.Call{c}); err != nil {
		return err
	}
	return status(t.ID, c.Reply)
}

// RequestCancel ends a job that doesn't run, and asks the worker of a running
// one to stop it. For a job that has ended it does nothing.
func (s *Store) RequestCancel(ctx context.Context, id job.ID) error {
	c := &batch.Call{Key: s.key(id), Args: []any{strconv.Itoa(cancelCapMS)}}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.cancel, 1, []*batch.Call{c}); err != nil {
		return err
	}
	if text(c.Reply[0]) == "ended" {
		return nil
	}
	return status(id, c.Reply)
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// Cancel is RequestCancel and the job as it is afterwards.
func (s *Store) Cancel(ctx context.Context, id job.ID) (job.Snapshot, error) {
	if err := s.RequestCancel(ctx, id); err != nil {
		return job.Snapshot{}, err
	}
	return s.Get(ctx, id)
}
