package jobstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// workerSize is how many bytes of a fence are the number of the process that runs the job.
const workerSize = 4

// WorkerID is the id of this process, as operators see it: its fences begin with it.
func (s *Store) WorkerID() string { return writeWorker(s.worker) }

// workerFences draws the fences of runs here.
func (s *Store) workerFences(n int) string {
	fences := []byte(newFences(n))
	for i := 0; i < len(fences); i += fenceSize {
		copy(fences[i:], s.worker)
	}
	return string(fences)
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// writeWorker writes 4 bytes as 6 characters.
func writeWorker(raw string) string {
	n := uint32At(raw, 0)
	var b [6]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i], n = base62[n%62], n/62
	}
	return string(b[:])
}

// IsWorkerID reports whether a text is one.
func IsWorkerID(id string) bool { return len(id) == 6 && strings.Trim(id, base62) == "" }

// workerID is who runs the job, or ran it last; "" where nobody did.
func (r *record) workerID() string {
	fence := r.fence
	if fence == "" {
		fence = r.ended
	}
	if r.started == 0 || fence == "" || r.state == job.Uploading || strings.HasPrefix(fence, claimer) {
		return ""
	}
	return writeWorker(fence)
}

// narrowText is what a filter says beyond state and type.
func narrowText(f job.Filter) string {
	if !f.Narrow() {
		return ""
	}
	texts := []string{string(f.Code), f.Group, f.Worker, f.Retried, unixMS(f.Since),
		unixMS(f.Until), unixMS(f.CreatedSince), f.IDPrefix, f.Label}
	if f.Queue != "" { // cursors of others are as releases before made them
		texts = append(texts, f.Queue)
	}
	return fmt.Sprintf("\x00%q", texts)
}

// lettersOf are the indexes in which the jobs of a rare state stand that a filter means.
func lettersOf(f job.Filter) []string {
	switch {
	case f.State != job.Failed, f.Retried == "":
		return []string{stateLetters[f.State]}
	case f.Retried == job.RetriedOnly:
		return []string{retriedLetter}
	}
	return []string{stateLetters[job.Failed], retriedLetter}
}

// byEntry tells that a filter's times are those of entering the state.
func byEntry(f job.Filter) bool {
	for _, s := range rareStates {
		if f.State == s {
			return true
		}
	}
	return false
}

// entryBounds are a filter's, as scores of an index.
func entryBounds(f job.Filter) (top, bottom string) {
	top, bottom = "+inf", "-inf"
	if !f.Until.IsZero() {
		top = unixMS(f.Until)
	}
	if !f.Since.IsZero() {
		bottom = unixMS(f.Since)
	}
	return top, bottom
}

// createdBounds are a filter's, as entries of a stream.
func createdBounds(f job.Filter) (top, bottom string) {
	top, bottom = "+", "-"
	if !f.Until.IsZero() {
		top = unixMS(f.Until)
	}
	if since := later(f.Since, f.CreatedSince); !since.IsZero() {
		bottom = unixMS(since)
	}
	return top, bottom
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lets1 reports whether a filter lets a record through, but for its group.
func lets1(r *record, id job.ID, f job.Filter) bool {
	switch {
	case f.State != "" && r.state != f.State,
		f.Retried == "" && f.State == job.Failed && r.retried,
		f.Retried == job.RetriedOnly && !r.retried,
		f.Code != "" && (r.state != job.Failed || !r.failedBy(f.Code)),
		f.Worker != "" && r.workerID() != f.Worker,
		!f.CreatedSince.IsZero() && r.created < f.CreatedSince.UnixMilli(),
		f.Subject != "" && r.owner != ViewOf(f).Code(),
		f.Tenant != "" && r.has(flagN) && !r.inlineOf(f.Tenant), // no index may tell its tenant
		!strings.HasPrefix(string(id), f.IDPrefix):
		return false
	}
	at := r.created
	switch {
	case byEntry(f) && f.Subject == "":
		return true // the index has them by their time
	case byEntry(f) && r.finished > 0: // found among all of an owner
		at = r.finished
	}
	return (f.Since.IsZero() || at >= f.Since.UnixMilli()) && (f.Until.IsZero() || at <= f.Until.UnixMilli())
}

// inlineOf reports whether a record that has its head within is a tenant's.
func (r *record) inlineOf(tenant string) bool {
	h, err := parseHead(r.text)
	return err == nil && h.tenant == tenant
}

// failedBy reports whether a failed job's code may be this one: a code without a byte stands beside the
// record.
func (r *record) failedBy(code job.Code) bool {
	for i, known := range codes {
		if known == code {
			return int(r.code) == i
		}
	}
	return r.code == otherCode
}

// siftGroup strikes out of lets the jobs whose failure belongs to another group.
func (s *Store) siftGroup(ctx context.Context, ids []job.ID, cores []core, lets []bool,
	f job.Filter) error {
	var some []job.ID
	var texts []core
	var at []int
	for i := range ids {
		if lets[i] {
			some, texts, at = append(some, ids[i]), append(texts, cores[i]), append(at, i)
		}
	}
	failures, err := s.failuresOf(ctx, some, texts)
	if err != nil {
		return fmt.Errorf("read failures: %w", err)
	}
	for i, one := range failures {
		lets[at[i]] = one.group() == f.Group
	}
	return nil
}

// siftLabel strikes out of lets the jobs without the filter's label, which stands beside the record.
func (s *Store) siftLabel(ctx context.Context, ids []job.ID, cores []core, lets []bool, f job.Filter) error {
	name, value, _ := strings.Cut(f.Label, "=")
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		if !lets[i] {
			continue
		}
		if r, err := parseFixed(cores[i].text); err == nil && r.has(flagH) {
			cmds[i] = pipe.HGet(ctx, s.base(id)+"x:"+id.Raw(), "lb")
		}
	}
	if pipe.Len() > 0 {
		if _, err := pipe.Exec(ctx); failed(err) {
			return err
		}
	}
	for i, cmd := range cmds {
		if cmd == nil {
			lets[i] = false
			continue
		}
		has, ok := labelsOf(cmd.Val())[name]
		lets[i] = ok && has == value
	}
	return nil
}

// siftQueue strikes out of lets the jobs of other queues than the filter's.
func (s *Store) siftQueue(ctx context.Context, ids []job.ID, cores []core, lets []bool, f job.Filter) error {
	for i, id := range ids {
		if !lets[i] {
			continue
		}
		in, err := s.inQueue(ctx, id, cores[i].text, f.Queue)
		if err != nil {
			return err
		}
		lets[i] = in
	}
	return nil
}

// inQueue tells that a record is of a job of a queue. Its head is known to the process, as a rule.
func (s *Store) inQueue(ctx context.Context, id job.ID, core, queue string) (bool, error) {
	r, err := parseRecord(core)
	if err != nil {
		return false, nil
	}
	h, ok, err := s.readableHead(ctx, id, &r)
	return ok && job.QueueOf(job.ParsePlace(h.queue).Queue) == queue, err
}

// A failure is why one job failed.
type failure struct {
	kind    string
	code    job.Code
	message string // folded
	at      int64
}

// group names the failures that look alike: a type, a code, a message without its numbers.
func (f failure) group() string {
	if f.code == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(f.kind + "\x00" + string(f.code) + "\x00" + f.message))
	return hex.EncodeToString(sum[:6])
}

// failuresOf says why jobs failed whose records were read; the zero failure of one that did not, or is
// damaged.
func (s *Store) failuresOf(ctx context.Context, ids []job.ID, cores []core) ([]failure, error) {
	found := make([]failure, len(ids))
	messages, rare := make([]*redis.StringCmd, len(ids)), make([]*redis.StringCmd, len(ids))
	pipe := s.rdb.Pipeline()
	for i, id := range ids {
		r, err := parseRecord(cores[i].text)
		if err != nil || r.state != job.Failed {
			continue
		}
		h, ok, err := s.readableHead(ctx, id, &r)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		found[i] = failure{kind: h.kind, code: r.codeOf(nil), at: r.finished}
		if r.code == otherCode {
			rare[i] = pipe.HGet(ctx, s.base(id)+"x:"+id.Raw(), "ec")
		}
		if r.has(flagV) {
			messages[i] = pipe.LIndex(ctx, s.base(id)+"e:"+id.Raw(), -1)
		}
	}
	if pipe.Len() > 0 {
		if _, err := pipe.Exec(ctx); failed(err) {
			return nil, err
		}
	}
	for i := range found {
		if rare[i] != nil {
			found[i].code = job.Code(rare[i].Val())
		}
		if messages[i] != nil {
			if parts := strings.SplitN(messages[i].Val(), " ", 4); len(parts) == 4 {
				found[i].message = fold(parts[3])
			}
		}
	}
	return found, nil
}

var (
	quoted  = regexp.MustCompile(`"[^"]*"|'[^']*'|` + "`[^`]*`")
	varying = regexp.MustCompile(`[0-9a-fA-F]*[0-9][0-9a-fA-F]*(?:[-:.][0-9a-fA-F]+)*`)
)

// maxFolded is how many bytes of a message tell groups apart.
const maxFolded = 200

// fold makes messages alike that differ in what they quote and in numbers only.
func fold(message string) string {
	message = quoted.ReplaceAllString(message, `"…"`)
	message = varying.ReplaceAllString(message, "#")
	if len(message) > maxFolded {
		message = strings.ToValidUTF8(message[:maxFolded], "") + "…"
	}
	return message
}

// A Group are failed jobs that failed alike.
type Group struct {
	Group       string // its id, for job.Filter
	Type        string
	Code        job.Code
	Message     string // folded: numbers and what is quoted are left out
	N           int
	First, Last time.Time
	Samples     []job.ID // the newest
}

// Limits of one look at failures.
const (
	maxFailures  = 20_000
	failureChunk = 2_000
	groupSamples = 3
)

// Failures groups the newest failed jobs that a filter of state failed lets through; the group with the
// newest one stands first. complete says that no more were there than were looked at.
func (s *Store) Failures(ctx context.Context, f job.Filter) (groups []*Group, scanned int, complete bool,
	err error) {
	f.State = job.Failed
	src, err := s.source(ctx, f)
	if err != nil {
		return nil, 0, false, fmt.Errorf("group failures: %w", err)
	}
	byID := map[string]*Group{}
	var after listEntry
	for going := false; scanned < maxFailures; going = true {
		entries, end, err := src.next(ctx, after, going, min(failureChunk, maxFailures-scanned))
		if err != nil {
			return nil, 0, false, fmt.Errorf("group failures: %w", err)
		}
		if groups, err = s.addFailures(ctx, f, entries, byID, groups); err != nil {
			return nil, 0, false, fmt.Errorf("group failures: %w", err)
		}
		if scanned += len(entries); end {
			return groups, scanned, true, nil
		}
		if len(entries) > 0 {
			after = entries[len(entries)-1]
		}
	}
	return groups, scanned, false, nil
}

func (s *Store) addFailures(ctx context.Context, f job.Filter, entries []listEntry, byID map[string]*Group,
	groups []*Group) ([]*Group, error) {
	ids := make([]job.ID, len(entries))
	for i, e := range entries {
		ids[i] = e.id
	}
	cores, err := s.cores(ctx, ids)
	if err != nil {
		return groups, err
	}
	failures, err := s.failuresOf(ctx, ids, cores)
	if err != nil {
		return groups, err
	}
	for i, one := range failures {
		r, err := parseRecord(cores[i].text)
		if err != nil || one.code == "" || !lets1(&r, ids[i], f) || f.Code != "" && f.Code != one.code ||
			f.Type != "" && f.Type != one.kind {
			continue
		}
		if f.Queue != "" {
			in, err := s.inQueue(ctx, ids[i], cores[i].text, f.Queue)
			if err != nil {
				return groups, err
			}
			if !in {
				continue
			}
		}
		id, at := one.group(), time.UnixMilli(entries[i].at).UTC()
		g := byID[id]
		if g == nil {
			g = &Group{Group: id, Type: one.kind, Code: one.code, Message: one.message, Last: at}
			byID[id] = g
			groups = append(groups, g)
		}
		if g.N++; len(g.Samples) < groupSamples {
			g.Samples = append(g.Samples, ids[i])
		}
		g.First = at
	}
	return groups, nil
}

// A Story is one line of what a job's record can't tell.
type Story struct {
	At      time.Time
	What    string // "lost", "cancel", "retried", "postponed", "released" or "changed"
	Attempt int    // attempts that had ended
	About   string // who, or, of a lost one, which worker; of a changed one what, and who
}

// Story returns the lines of a job's story, oldest first.
func (s *Store) Story(ctx context.Context, id job.ID) ([]Story, error) {
	texts, err := s.rdb.LRange(ctx, s.base(id)+"s:"+id.Raw(), 0, -1).Result()
	if failed(err) {
		return nil, fmt.Errorf("story of %s: %w", id, err)
	}
	var lines []Story
	for _, text := range texts {
		parts := strings.SplitN(text, " ", 4)
		if len(parts) != 4 {
			continue
		}
		attempt, _ := strconv.Atoi(parts[2])
		line := Story{At: time.UnixMilli(integer(parts[0])).UTC(), What: parts[1], Attempt: attempt,
			About: parts[3]}
		if raw, err := hex.DecodeString(line.About); line.What == "lost" && err == nil &&
			len(raw) == workerSize {
			line.About = writeWorker(string(raw))
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// drawWorker draws the number of a process.
func drawWorker() string {
	for {
		if n := newFences(1)[:workerSize]; n != claimer {
			return n
		}
	}
}
