package loggen

import (
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Rows are tables of made-up requests: the same ones as CSV and as NDJSON. Like
// logs they are drawn by Zipf's law; some fields need quotes, some hold
// characters that are not ASCII.
type Rows struct {
	Seed  uint64
	Bytes int64 // the table ends with the last row that fits
}

// columns of the tables. In NDJSON, id, status, bytes and ms are numbers.
var columns = []string{"id", "time", "address", "user", "method", "path", "status", "bytes", "ms", "referrer",
	"agent", "note"}

// CSV returns the table as CSV with a header.
func (r Rows) CSV() io.Reader {
	t := r.table()
	t.row = t.csvRow
	t.buf = append(t.buf, strings.Join(columns, ",")+"\n"...)
	return t
}

// NDJSON returns the table as objects, one a line.
func (r Rows) NDJSON() io.Reader {
	t := r.table()
	t.row = t.ndjsonRow
	return t
}

func (r Rows) table() *rowReader {
	rng := rand.New(rand.NewPCG(r.Seed, 0x726f7773))
	return &rowReader{left: r.Bytes, rng: rng,
		words: newVocabulary(rng, Options{Addresses: 20_000, Paths: 5_000}),
		now:   time.Date(2025, time.March, 1, 0, 0, 0, 0, time.UTC)}
}

// A rowReader is a table being made.
type rowReader struct {
	left  int64
	rng   *rand.Rand
	words *vocabulary
	now   time.Time
	id    int64
	buf   []byte
	rest  []byte // of buf, not read yet
	done  bool
	row   func(request)
}

// A request is one row.
type request struct {
	id, bytes             int64
	time                  string
	address, method, path string
	user                  string
	status                int
	ms                    float64
	referrer, agent, note string
}

func (t *rowReader) Read(p []byte) (int, error) {
	for len(t.rest) == 0 {
		if t.done {
			return 0, io.EOF
		}
		for len(t.buf) < bufferSize && !t.done {
			before := len(t.buf)
			t.row(t.next())
			if int64(len(t.buf)) > t.left {
				t.buf, t.done = t.buf[:before], true
			}
		}
		t.rest = t.buf
		t.left -= int64(len(t.buf))
		t.buf = t.buf[:0]
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

var notes = []string{"slow, but fine", `called "twice"`, "naïve café", "über 100 %", "two\nlines",
	"back\\slash"}

func (t *rowReader) next() request {
	dice := t.rng.Uint64()
	t.id++
	t.now = t.now.Add(time.Duration(dice % 300e6))
	q := request{id: t.id, time: t.now.Format(time.RFC3339), address: t.words.addresses.draw(t.rng),
		user: "user" + strconv.Itoa(int(dice>>16&0x3ff)), method: methods[uint8(dice>>26)],
		path: t.words.paths.draw(t.rng), status: statuses[dice>>34&1023], bytes: int64(dice>>44&0x7fff) + 120,
		ms: float64(dice>>40&0xffff) / 100, referrer: t.words.referrers.draw(t.rng),
		agent: t.words.agents.draw(t.rng)}
	if dice>>60 == 0 {
		q.note = notes[dice>>4%uint64(len(notes))]
	}
	return q
}

func (t *rowReader) csvRow(q request) {
	for i, field := range []string{strconv.FormatInt(q.id, 10), q.time, q.address, q.user, q.method, q.path,
		strconv.Itoa(q.status), strconv.FormatInt(q.bytes, 10), strconv.FormatFloat(q.ms, 'f', 2, 64),
		q.referrer, q.agent, q.note} {
		if i > 0 {
			t.buf = append(t.buf, ',')
		}
		if !strings.ContainsAny(field, ",\"\n") {
			t.buf = append(t.buf, field...)
			continue
		}
		t.buf = append(t.buf, '"')
		t.buf = append(t.buf, strings.ReplaceAll(field, `"`, `""`)...)
		t.buf = append(t.buf, '"')
	}
	t.buf = append(t.buf, '\n')
}

func (t *rowReader) ndjsonRow(q request) {
	t.buf = append(t.buf, `{"id":`...)
	t.buf = strconv.AppendInt(t.buf, q.id, 10)
	t.member("time", q.time)
	t.member("address", q.address)
	t.member("user", q.user)
	t.member("method", q.method)
	t.member("path", q.path)
	t.buf = strconv.AppendInt(append(t.buf, `,"status":`...), int64(q.status), 10)
	t.buf = strconv.AppendInt(append(t.buf, `,"bytes":`...), q.bytes, 10)
	t.buf = strconv.AppendFloat(append(t.buf, `,"ms":`...), q.ms, 'f', 2, 64)
	t.member("referrer", q.referrer)
	t.member("agent", q.agent)
	t.member("note", q.note)
	t.buf = append(t.buf, "}\n"...)
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (t *rowReader) member(name, value string) {
	t.buf = append(append(append(t.buf, `,"`...), name...), `":"`...)
	t.buf = append(append(t.buf, escapes.Replace(value)...), '"')
}
