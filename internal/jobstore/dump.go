package jobstore

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"longshore/internal/access"
	"longshore/job"
)

// A backup has the records of open jobs as they are, byte for byte, and what stands beside each. So it
// needs no second spelling of all that a job may be: what is sealed stays sealed, and a new field of the
// record goes along by itself. What leads to a record (indexes, tickets, counters) is made anew where it is
// restored, where there may be another number of partitions.

// A Kept is one job as a backup has it. Type and State are for people.
type Kept struct {
	ID     job.ID    `json:"id"`
	Type   string    `json:"type"`
	State  job.State `json:"state"`
	Record []byte    `json:"record"`
	Head   []byte    `json:"head,omitempty"` // family and text; none where the record has its own
	// Beside is what other keys have of it, by the key's letter; of i: the hash of an idempotency key and a
	// digest.
	Beside map[string][][]byte `json:"beside,omitempty"`
}

// A Dumped is a job of a backup, and what else of it a backup must see to.
type Dumped struct {
	Kept
	Tenant string
	Inputs []Input // one at most
	// Outputs are files of an attempt that has ended.
	Outputs []job.Output
	After   []job.ID // not ended yet, as far as the record knows
	Pieces  bool     // its input comes in pieces, and isn't whole
	Batch   *KeptBatch
}

// A DumpSum tells what a dump has left out.
type DumpSum struct {
	Damaged int64 // can't be read
	Uploads int64 // were being received in one request
}

// dumpChunk is how many entries of a stream a call looks at, and dumpAhead how many all walks hold together.
const (
	dumpChunk = 250
	dumpAhead = 50_000
)

// Dump calls each for all jobs that a backup has, in the order in which they were created. Programs may go on
// meanwhile: whoever was there before it began and is open when it ends comes exactly once; who comes or ends
// meanwhile may come.
func (s *Store) Dump(ctx context.Context, each func(*Dumped) error) (sum DumpSum, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of calls that are ahead
	var walks walks
	parts, err := s.standing(ctx)
	if failed(err) {
		return sum, err
	}
	for part, is := range parts {
		for _, family := range slices.Sorted(maps.Keys(is.families())) {
			walks = append(walks, &dumpWalk{s: s, part: part, family: family, sum: &sum})
		}
	}
	size := dumpChunk
	if n := len(walks); n > 0 {
		size = min(max(dumpAhead/n, 10), dumpChunk)
	}
	for _, w := range walks {
		w.size = size
		if err := w.fill(ctx); err != nil {
			return sum, err
		}
	}
	walks = slices.DeleteFunc(walks, func(w *dumpWalk) bool { return len(w.items) == 0 })
	heap.Init(&walks)
	for len(walks) > 0 {
		w := walks[0]
		d := w.items[0].job
		w.items = w.items[1:]
		if err := each(d); err != nil {
			return sum, err
		}
		if err := w.fill(ctx); err != nil {
			return sum, err
		}
		if len(w.items) == 0 {
			heap.Pop(&walks)
		} else {
			heap.Fix(&walks, 0)
		}
	}
	return sum, nil
}

// A dumpItem is a job at its place.
type dumpItem struct {
	at, place int64
	job       *Dumped
}

// A dumpWalk goes over the jobs of one family of a partition.
type dumpWalk struct {
	s      *Store
	part   int
	family string
	size   int
	sum    *DumpSum

	from  string // the last entry that was looked at
	over  bool
	items []dumpItem
	ahead chan dumpReply // the next call, under way
}

type dumpReply struct {
	said []any
	err  error
}

// fill makes sure that there is a job, unless there is none any more, and has the next call go ahead.
func (w *dumpWalk) fill(ctx context.Context) error {
	for len(w.items) == 0 && !w.over {
		if w.ahead == nil {
			w.call(ctx)
		}
		reply := <-w.ahead
		w.ahead = nil
		if reply.err != nil {
			return fmt.Errorf("read jobs: %w", reply.err)
		}
		if len(reply.said) < 3 {
			return errors.New("read jobs: script answered something else")
		}
		w.from = text(reply.said[0])
		w.over = w.from == ""
		w.sum.Damaged += integer(reply.said[1])
		w.sum.Uploads += integer(reply.said[2])
		for _, one := range reply.said[3:] {
			if item, ok := dumped(one); ok {
				w.items = append(w.items, item)
			} else {
				w.sum.Damaged++
			}
		}
		if !w.over {
			w.call(ctx)
		}
	}
	return nil
}

func (w *dumpWalk) call(ctx context.Context) {
	ahead, from := make(chan dumpReply, 1), w.from
	w.ahead = ahead
	go func() {
		said, err := w.s.scripts.dump.Run(ctx, w.s.rdb, []string{w.s.bases[w.part]}, w.family, from,
			w.size).Slice()
		ahead <- dumpReply{said, err}
	}()
}

// walks are a heap: the oldest job of all comes first.
type walks []*dumpWalk

func (w walks) Len() int { return len(w) }
func (w walks) Less(i, j int) bool {
	a, b := w[i].items[0], w[j].items[0]
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.place, b.place),
		cmp.Compare(w[i].part, w[j].part)) < 0
}
func (w walks) Swap(i, j int) { w[i], w[j] = w[j], w[i] }
func (w *walks) Push(any)     {} // none comes
func (w *walks) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return last
}

// dumped reads one job of a reply; ok is false if it can't be read.
func dumped(one any) (item dumpItem, ok bool) {
	said, _ := one.([]any)
	if len(said) < 4 || len(text(said[1])) != 16 {
		return item, false
	}
	at, place, _ := strings.Cut(text(said[0]), "-")
	item.at, _ = strconv.ParseInt(at, 10, 64) // Redis's own
	item.place, _ = strconv.ParseInt(place, 10, 64)
	k := Kept{ID: job.FromRaw(text(said[1])), Record: []byte(text(said[2])), Head: []byte(text(said[3]))}
	for i := 4; i+1 < len(said); i += 2 {
		if k.Beside == nil {
			k.Beside = map[string][][]byte{}
		}
		values, many := said[i+1].([]any)
		if !many {
			values = []any{said[i+1]}
		}
		list := make([][]byte, len(values))
		for n, v := range values {
			list[n] = []byte(text(v))
		}
		k.Beside[text(said[i])] = list
	}
	d, err := k.read()
	item.job = d
	return item, err == nil
}

// one is the value of a key that has one.
func (k *Kept) one(kind string) string {
	if list := k.Beside[kind]; len(list) > 0 {
		return string(list[0])
	}
	return ""
}

// fields are those of a hash.
func (k *Kept) fields(kind string) map[string]string {
	list := k.Beside[kind]
	if list == nil {
		return nil
	}
	m := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		m[string(list[i])] = string(list[i+1])
	}
	return m
}

// read finds out what a backup must see to.
func (k *Kept) read() (*Dumped, error) {
	r, err := parseRecord(string(k.Record))
	if err != nil {
		return nil, err
	}
	said := r.text
	if !r.has(flagN) && len(k.Head) > 8 {
		said = string(k.Head[8:])
	}
	h, err := parseHead(said)
	if err != nil {
		return nil, err
	}
	k.Type, k.State = h.kind, r.state
	d := &Dumped{Kept: *k, Tenant: h.tenant}
	rare := k.fields("x")
	spec, err := decodeSpec(k.one("p"))
	if err != nil {
		return nil, err
	}
	erased := rare["ig"] != "" // on purpose, which goes along
	if d.Pieces = r.state == job.Uploading; spec.Input != nil && !erased {
		d.Inputs = []Input{*spec.Input}
	}
	result := cmp.Or(r.result, k.one("r"))
	if r.state.Terminal() && result != "" {
		st, err := decodeResult(result)
		if err != nil {
			return nil, err
		}
		for _, o := range st.Outputs {
			d.Outputs = append(d.Outputs, job.Output{Name: o.Name, Size: o.Size, SHA256: o.SHA256,
				Blob: o.Blob})
		}
	}
	if !r.state.Terminal() {
		d.After = job.OpenOf(afterOf(rare["af"]))
	}
	if h.kind == job.BatchType {
		d.Batch = &KeptBatch{Owner: h.tenant, Closed: rare["ba"] != batchOpen}
		if r.owner != "" {
			d.Batch.Code = []byte(r.owner)
		}
		d.Batch.Until = max(r.expires, r.finished) + (h.retention + shareHold).Milliseconds()
	}
	return d, nil
}

// TakeInput makes another blob the job's input.
func (k *Kept) TakeInput(blob string) error {
	spec, err := decodeSpec(k.one("p"))
	if err != nil {
		return err
	}
	if spec.Input == nil {
		return fmt.Errorf("%s: %w: it has no input", k.ID, job.ErrDamaged)
	}
	spec.Input.Blob = blob
	if string(spec.Payload) == "{}" {
		spec.Payload = nil
	}
	body, err := spec.encode()
	if err != nil {
		return err
	}
	k.Beside["p"] = [][]byte{[]byte(body)}
	return nil
}

// Letters tells how jobs have ended, each as its state's letter: "-" of one that hasn't, "g" of one that is
// gone.
func (s *Store) Letters(ctx context.Context, ids []job.ID) (string, error) {
	var b strings.Builder
	for some := range slices.Chunk(ids, bulkSize) {
		cores, err := s.cores(ctx, some)
		if err != nil {
			return "", err
		}
		for _, c := range cores {
			r, err := parseFixed(c.text)
			switch {
			case !c.there:
				b.WriteString(goneLetter)
			case err != nil || !r.state.Terminal():
				b.WriteString(openLetter)
			default:
				b.WriteString(stateLetters[r.state])
			}
		}
	}
	return b.String(), nil
}

// A keptSchedule is a schedule as a backup has it.
type keptSchedule struct {
	Fields map[string]string `json:"fields"`
	Due    string            `json:"due"` // when the next tick is to be made, in ms; inf = never
	Runs   []string          `json:"runs,omitempty"`
}

// DumpSchedules are all schedules, by tenant and name.
func (s *Store) DumpSchedules(ctx context.Context) (map[string]string, error) {
	keys, err := s.scheduleKeys(ctx, access.Installation)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, key := range keys {
		tenant, name, _ := strings.Cut(key, "/")
		base, _ := s.schedulePart(tenant, name)
		pipe := s.rdb.TxPipeline() // one moment
		fields, due := pipe.HGetAll(ctx, base+"sch:"+key), pipe.ZScore(ctx, base+"ticks", key)
		runs := pipe.LRange(ctx, base+"runs:"+key, 0, -1)
		if _, err := pipe.Exec(ctx); failed(err) {
			return nil, err
		}
		if fields.Val()["rev"] == "" {
			continue // it went meanwhile
		}
		k := keptSchedule{Fields: fields.Val(), Runs: runs.Val(),
			Due: strconv.FormatFloat(due.Val(), 'f', 0, 64)}
		if last := k.Fields["lj"]; len(last) == 16 {
			k.Fields["lj"] = string(job.FromRaw(last))
		}
		text, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		all[key] = string(text)
	}
	return all, nil
}
