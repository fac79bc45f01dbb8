package jobstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/internal/batch"
	"longshore/job"
)

// Jobs that are claimed over HTTP run in programs that speak to no Redis. Such a run has a lease and a
// fence as any other: its fence begins with claimer, which no worker's does, and the eight bytes behind it
// are the claim, all that the program is told. They come from the program's name and a key that it draws
// for each request, so whichever web process answers a repeat hands out the same. What a request was given
// is in P:{k}:hand:<token>, "<try> " and for each job the length of its ticket, the ticket and the fence: a
// repeat, which counts its try up, is given the jobs again, and an earlier try nothing more.

// claimer is the number of the worker in fences of claimed runs.
const claimer = "HTTP"

// ClaimLease is how long a claimed run may be silent.
const ClaimLease = claimLeaseMS * time.Millisecond

// handKept is how long it is known what a request was given: a repeat that comes later finds leases that
// have ended.
const handKept = ClaimLease + time.Minute

// claimSize is the length of a claim, in bytes.
const claimSize = fenceSize - workerSize

// A Hand is a request for jobs by a program that claims them.
type Hand struct {
	Worker string // what the program calls itself; another one's key is another key
	Key    string // drawn for this request, and kept for its repeats
	Try    int    // which of them it is, from 1
	N      int    // how many jobs at most; 0 = none but those of an earlier try
}

func (h Hand) hash(what string, n int) []byte {
	sum := sha256.Sum256([]byte(what + "\x00" + h.Worker + "\x00" + h.Key + "\x00" + strconv.Itoa(n)))
	return sum[:]
}

func (h Hand) token() string { return string(h.hash("hand", 0)[:16]) }

// fences are those of the jobs that are handed out from the n-th on.
func (h Hand) fences(from int) string {
	var b strings.Builder
	for i := range h.N {
		b.WriteString(claimer + string(h.hash("claim", from+i)[:claimSize]))
	}
	return b.String()
}

// ClaimOf is the claim of a fence, as programs are told; "" of a worker's.
func ClaimOf(fence string) string {
	raw := readFence(fence)
	if !strings.HasPrefix(raw, claimer) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(raw[workerSize:]))
}

// FenceOf is the fence of a claim; "" of what is none.
func FenceOf(claim string) string {
	raw, err := base64.RawURLEncoding.DecodeString(claim)
	if err != nil || len(raw) != claimSize {
		return ""
	}
	return writeFence(claimer + string(raw))
}

// ErrLaterTry says that a repeat of the request was here before.
var ErrLaterTry = errors.New("a later try was answered")

// HandOut takes jobs from lists of a partition, in their order, for a request that has got some already.
// again says that these were handed out before: the request gets no others. Errors: ErrLaterTry, or
// Redis's.
func (s *Store) HandOut(ctx context.Context, part int, h Hand, got int, lists []job.Place) (
	claims []Claim, again bool, err error) {
	for more := true; more && len(claims) == 0 && err == nil; {
		claims, again, more, err = s.handOut(ctx, part, h, got, lists)
	}
	return claims, again, err
}

// handOut is one call; more says that it has looked at as many tickets as it may.
func (s *Store) handOut(ctx context.Context, part int, h Hand, got int, lists []job.Place) (
	claims []Claim, again, more bool, err error) {
	token := h.token()
	args := []any{token, h.Try, claimLeaseMS, handKept.Milliseconds(), h.N, h.fences(got),
		flagText(got > 0)}
	for _, at := range lists {
		args = append(args, at.Name())
	}
	sent := time.Now()
	reply, err := s.scripts.hand.Run(ctx, s.rdb, []string{s.bases[part]}, args...).Slice()
	if err != nil {
		return nil, false, false, err
	}
	if len(reply) > 0 && text(reply[0]) == "late" {
		return nil, false, false, ErrLaterTry
	}
	for _, one := range reply[1:] {
		if apart, ok := one.(int64); ok {
			s.TellForeign(ctx, apart)
			continue
		}
		claim := Claim{Sent: sent}
		if err := s.readClaim(ctx, &claim, one); err != nil {
			return nil, false, false, err
		}
		claims = append(claims, claim)
	}
	return claims, text(reply[0]) == "again", text(reply[0]) == "more", nil
}

// TakeBack has the jobs queued again that a request was given whose client is gone; not so where a later
// try was here, whose they are.
func (s *Store) TakeBack(ctx context.Context, part int, h Hand) error {
	return s.scripts.takeBack.Run(ctx, s.rdb, []string{s.bases[part]}, h.token(), h.Try,
		handKept.Milliseconds()).Err()
}

// A Renewal says that a claimed run goes on.
type Renewal struct {
	ID       job.ID
	Fence    string
	Progress *job.Progress // nil = no news
}

// ErrTimedOut says that the run is over its time: a sweep ends it.
var ErrTimedOut = errors.New("the attempt is over its time")

// A Renewed answers a Renewal. Err is ErrLost, ErrCanceled, ErrTimedOut or job.ErrDamaged.
type Renewed struct {
	Lease time.Duration // from now; 0: its part of a Cluster said nothing, it may have been renewed or not
	Err   error
}

// Renew renews the leases of claimed runs in a view, one call for many. The error is Redis's where no part
// of it answers.
func (s *Store) Renew(ctx context.Context, view access.View, renewals []Renewal) ([]Renewed, error) {
	calls := make([]*batch.Call, len(renewals))
	for i, r := range renewals {
		progress := ""
		if r.Progress != nil {
			body, err := encodeProgress(r.Progress)
			if err != nil {
				return nil, err
			}
			progress = body
		}
		calls[i] = s.callFor(view, r.ID, readFence(r.Fence), claimLeaseMS, progress)
	}
	failed := batch.RunAll(ctx, s.rdb, s.scripts.keep, bulkSize, calls)
	replies := make([]Renewed, len(calls))
	for i, c := range calls {
		if c.Err != nil {
			continue
		}
		failed = nil
		switch word := text(c.Reply[0]); word {
		case "ok":
			replies[i].Lease = time.Duration(integer(c.Reply[1])) * time.Millisecond
		case "cancel":
			replies[i].Err = ErrCanceled
		case "timeout":
			replies[i].Err = ErrTimedOut
		default:
			replies[i].Err = status(renewals[i].ID, c.Reply)
		}
	}
	return replies, failed
}

// ClaimedLog is how much of the log of a claimed run is kept, in bytes.
const ClaimedLog = 64 << 10

// SayLog adds lines to the log of a claimed run; from is the number of the first, from 1. Those that were
// added before are not added again. Errors: ErrLost, or Redis's.
func (s *Store) SayLog(ctx context.Context, id job.ID, fence string, delivery, from int64,
	lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	args := []any{id.Raw() + readFence(fence), delivery, from, ClaimedLog, logLife.Milliseconds()}
	for _, line := range lines {
		args = append(args, line)
	}
	n, err := s.scripts.said.Run(ctx, s.rdb, []string{s.base(id)}, args...).Int()
	if err == nil && n == 0 {
		return ErrLost
	}
	return err
}

// SaidLog is what is kept of the log of a claimed run.
func (s *Store) SaidLog(ctx context.Context, id job.ID, delivery int64) ([]string, error) {
	return s.rdb.LRange(ctx, s.base(id)+"l:"+id.Raw()+":"+strconv.FormatInt(delivery, 10), 0, -1).Result()
}

// Errors of outputs.
var (
	ErrManyOutputs  = errors.New("the run has as many outputs as it may")
	ErrLargeOutputs = errors.New("the outputs of the run are larger than they may be")
)

func (s *Store) madeKey(id job.ID) string { return s.base(id) + "o:" + id.Raw() }

// NoteOutput says that an output of a claimed run is in the blob store; bytes and outputs are how much a
// run may have. Errors: ErrLost, ErrManyOutputs, ErrLargeOutputs, or Redis's.
func (s *Store) NoteOutput(ctx context.Context, id job.ID, fence string, o job.Output, bytes int64,
	outputs int) error {
	known, err := json.Marshal(storedOutput{o.Name, o.Blob, o.Size, o.SHA256, o.ContentType})
	if err != nil {
		return err
	}
	word, err := s.scripts.made.Run(ctx, s.rdb, []string{s.base(id)}, id.Raw()+readFence(fence), o.Name,
		known, o.Size, bytes, outputs, o.Blob).Text()
	switch {
	case err != nil:
		return err
	case word == "lost":
		return ErrLost
	case word == "many":
		return ErrManyOutputs
	case word == "large":
		return ErrLargeOutputs
	}
	return nil
}

// Noted is what is known of a claimed run beside its record.
type Noted struct {
	Outputs map[string]job.Output // that it has sent, by name
	Blobs   []string              // all that it has written, replaced ones too
	Lines   int64                 // that its log has got
}

// Noted is what is known of a claimed run. Errors: job.ErrDamaged, or Redis's.
func (s *Store) Noted(ctx context.Context, id job.ID, fence string) (n Noted, err error) {
	all, err := s.rdb.HGetAll(ctx, s.madeKey(id)).Result()
	if err != nil {
		return n, err
	}
	n.Outputs = map[string]job.Output{}
	for field, value := range all {
		rest, ours := strings.CutPrefix(field, readFence(fence))
		switch {
		case !ours:
		case rest == "n":
			n.Lines = integer(value)
		case strings.HasPrefix(rest, "~"):
			n.Blobs = append(n.Blobs, rest[1:])
		case strings.HasPrefix(rest, "/"):
			var o storedOutput
			if err := json.Unmarshal([]byte(value), &o); err != nil {
				return n, fmt.Errorf("outputs of %s: %w", id, job.ErrDamaged)
			}
			n.Outputs[o.Name] = job.Output{Name: o.Name, Blob: o.Blob, Size: o.Size, SHA256: o.SHA256,
				ContentType: o.ContentType}
		}
	}
	return n, nil
}

// ForgetOutputs forgets what was noted of a run's outputs and its log, once it has ended. What is noted of
// another run of the job stays.
func (s *Store) ForgetOutputs(ctx context.Context, id job.ID, fence string) error {
	fields, err := s.rdb.HKeys(ctx, s.madeKey(id)).Result()
	if err != nil {
		return err
	}
	ours := readFence(fence)
	fields = slices.DeleteFunc(fields, func(field string) bool { return !strings.HasPrefix(field, ours) })
	if len(fields) == 0 {
		return nil
	}
	return s.rdb.HDel(ctx, s.madeKey(id), fields...).Err()
}

// Holds tells that a claimed run in a view goes on: its job's record. Errors: ErrLost, job.ErrNotFound of a
// job that isn't in the view, or Redis's.
func (s *Store) Holds(ctx context.Context, view access.View, id job.ID, fence string) (Record, error) {
	r, err := s.Read(ctx, id)
	switch {
	case err != nil:
		return r, err
	case !view.Has(r.Owner):
		return Record{}, job.ErrNotFound
	case fence == "" || r.Fence != fence || r.Snapshot.State != job.Running:
		return Record{}, ErrLost
	}
	return r, nil
}

// ClaimPlaces are the places of LaneClaim with lists of tickets, by partition.
func (s *Store) ClaimPlaces(ctx context.Context) ([][]job.Place, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringSliceCmd, len(s.bases))
	for part := range s.bases {
		cmds[part] = pipe.ZRange(ctx, s.ListsKey(part), 0, -1)
	}
	_, failed := pipe.Exec(ctx)
	lists := make([][]job.Place, len(s.bases))
	for part, cmd := range cmds {
		if cmd.Err() == nil || redis.HasErrorPrefix(cmd.Err(), "WRONGTYPE") {
			failed = nil // a part of a Cluster that is away has nothing for now
		}
		for _, at := range ReadPlaces(cmd.Val()) {
			if at.Lane == job.LaneClaim {
				lists[part] = append(lists[part], at)
			}
		}
	}
	return lists, failed
}
