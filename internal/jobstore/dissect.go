package jobstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/printable"
	"longshore/job"
)

// A Fact is one thing that Redis has about a job.
type Fact struct{ Name, Value string }

// Dissect tells all that Redis has about a job, whatever state it is in: its record taken apart,
// the keys beside it, and where it stands in indexes and queues. Errors: job.ErrNotFound, if there is
// nothing; Redis's.
func (s *Store) Dissect(ctx context.Context, id job.ID) ([]Fact, error) {
	d := &dissection{Store: s, ctx: ctx, id: id, base: s.base(id)}
	cores, err := s.cores(ctx, []job.ID{id})
	if err != nil {
		return nil, err
	}
	d.add("key", "%s", printable.Text(d.base+"j:")+hex.EncodeToString([]byte(id.Raw())))
	var r record
	switch c := cores[0]; {
	case c.strange:
		d.add("record", "a key of another type")
	case !c.there:
		d.add("record", "there is none")
	default:
		d.add("record", "%d bytes", len(c.text))
		if r, err = parseRecord(c.text); err != nil {
			d.add("damage", "%v", err)
			d.add("bytes", "%s", hex.EncodeToString([]byte(c.text)))
		}
		d.core(&r)
	}
	family := d.head(&r)
	d.beside()
	d.indexes(&r, family)
	if d.err != nil {
		return nil, d.err
	}
	if !cores[0].there && !cores[0].strange && d.traces == 0 {
		return nil, job.ErrNotFound
	}
	return d.facts, nil
}

// A dissection is one call of Dissect.
type dissection struct {
	*Store
	ctx    context.Context
	id     job.ID
	base   string
	facts  []Fact
	traces int // of the job outside its record
	err    error
}

func (d *dissection) add(name, format string, args ...any) {
	d.facts = append(d.facts, Fact{name, fmt.Sprintf(format, args...)})
}

// trace adds what was found outside the record.
func (d *dissection) trace(name, format string, args ...any) {
	d.traces++
	d.add(name, format, args...)
}

// fails notes an error of Redis's own.
func (d *dissection) fails(err error) bool {
	if failed(err) && d.err == nil {
		d.err = err
	}
	return err != nil
}

var flagNames = []struct {
	flag uint32
	name string
}{{flagR, "R"}, {flagL, "L"}, {flagE, "E"}, {flagK, "K"}, {flagC, "C"}, {flagX, "X"}, {flagN, "N"},
	{flagO, "O"}, {flagA, "A"}, {flagM, "M"}, {flagT, "T"}, {flagB, "B"}, {flagF, "F"}, {flagI, "I"},
	{flagU, "U"}, {flagD, "D"}, {flagP, "P"}, {flagH, "H"}, {flagG, "G"}, {flagV, "V"}, {flagS, "S"}}

// core tells what the record itself says.
func (d *dissection) core(r *record) {
	if r.state == "" {
		return
	}
	var flags []string
	for _, f := range flagNames {
		if r.has(f.flag) {
			flags = append(flags, f.name)
		}
	}
	d.add("state", "%s, rev %d, delivery %d", r.state, r.rev, r.delivery)
	d.add("flags", "%s", strings.Join(flags, " "))
	d.add("attempts", "%d, and %d young runs lost in a row", r.attempts, r.losses)
	d.add("created", "%s, place %d", stamp(r.created), r.place)
	for _, one := range []struct {
		name string
		ms   int64
	}{{"started", r.started}, {"finished", r.finished}, {"run at", r.runAt}, {"expires", r.expires}} {
		if one.ms > 0 {
			d.add(one.name, "%s", stamp(one.ms))
		}
	}
	for _, one := range []struct{ name, fence string }{{"held under fence", r.fence},
		{"finished under fence", r.ended}} {
		if one.fence != "" {
			d.add(one.name, "%s", writeFence(one.fence))
		}
	}
	if r.has(flagE) {
		d.add("failure code", "%d", r.code)
	}
	if r.result != "" {
		d.add("result", "%d bytes", len(r.result))
	}
	d.add("payload", "%d bytes", len(r.payload))
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

// head tells of the record's policy, and returns its family; "" if that is not known.
func (d *dissection) head(r *record) string {
	if r.state == "" {
		return ""
	}
	h, err := d.headOf(d.ctx, d.part(d.id), r)
	if bad := errRecord(""); errors.As(err, &bad) {
		d.add("head", "%x: %v", r.head, err)
		return ""
	} else if d.fails(err) {
		return ""
	}
	d.add("head", "%x: type %s, queue %s, %d attempts, timeout %v, retention %v", r.head, h.kind, h.queue,
		h.maxAttempts, h.timeout, h.retention)
	return h.family
}

// beside tells of the keys that belong to the job.
func (d *dissection) beside() {
	for _, one := range []struct{ name, what string }{{"p", "payload"}, {"r", "result"}, {"g", "progress"},
		{"e", "failed attempts"}, {"x", "rare fields"}, {"u", "users of its files"}, {"w", "callback"},
		{"s", "story"}, {"c", "claim of its id"}} {
		key := d.base + one.name + ":" + d.id.Raw()
		kind, err := d.rdb.Type(d.ctx, key).Result()
		if d.fails(err) || kind == "none" {
			continue
		}
		said := ""
		switch kind {
		case "hash":
			said = fmt.Sprintf(": %q", d.rdb.HGetAll(d.ctx, key).Val())
		case "list":
			said = fmt.Sprintf(" of %d", d.rdb.LLen(d.ctx, key).Val())
		case "string":
			said = fmt.Sprintf(" of %d bytes", d.rdb.StrLen(d.ctx, key).Val())
		}
		d.trace(one.what, "%s: a %s%s", one.name, kind, said)
	}
}

// indexes tells where the job stands.
func (d *dissection) indexes(r *record, family string) {
	raw := d.id.Raw()
	for _, set := range []struct{ name, what string }{{"lease", "lease ends"}, {"when", "looked at"},
		{"owes:webhook", "callback due"}, {"owes:input", "input is to go"}, {"aside", "set aside"}} {
		score, err := d.rdb.ZScore(d.ctx, d.base+set.name, raw).Result()
		if !d.fails(err) {
			d.trace(set.what, "%s", stamp(int64(score)))
		}
	}
	if family == "" {
		return
	}
	at := strconv.FormatInt(r.created, 10) + "-" + strconv.Itoa(r.place)
	rows, err := d.rdb.XRange(d.ctx, d.base+"all:"+family, at, at).Result()
	if !d.fails(err) {
		d.add("in the stream of its type", "%v", len(rows) == 1 && rows[0].Values["j"] == raw)
	}
	if r.state.Terminal() {
		d.add("in a list of ended jobs", "%s", d.endOf(raw))
	}
	d.ticket(r)
}

// endOf is when the job will be looked at that has ended.
func (d *dissection) endOf(raw string) string {
	dues, err := d.rdb.ZRange(d.ctx, d.base+"ends", 0, -1).Result()
	if d.fails(err) {
		return "not known"
	}
	for _, due := range dues {
		if _, err := d.rdb.LPos(d.ctx, d.base+"end:"+due, raw, redis.LPosArgs{}).Result(); !d.fails(err) {
			return "to be looked at from " + stamp(integer(due)*1000)
		}
	}
	return "no"
}

// ticket tells of the ticket of a job that waits.
func (d *dissection) ticket(r *record) {
	if r.state != job.Queued {
		return
	}
	h, err := d.headOf(d.ctx, d.part(d.id), r)
	if d.fails(err) {
		return
	}
	keys := QueueKeys(QueueName(d.prefix, h.queue, d.part(d.id), len(d.bases)))
	entry := Entry(d.id, r.delivery)
	where := "in no list"
	for _, list := range []string{"pending", "pending:type:" + h.kind} {
		if at, err := d.rdb.LPos(d.ctx, keys+list, entry, redis.LPosArgs{}).Result(); !d.fails(err) {
			where = fmt.Sprintf("%d newer ones in %s", at, keys+list)
		}
	}
	n, err := d.rdb.Exists(d.ctx, keys+"t:"+entry).Result()
	if !d.fails(err) {
		d.add("ticket", "%s; its task exists: %v", where, n == 1)
	}
}
