package loggen

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// line makes one line at the end of buf.
func (r *Reader) line() line {
	r.tick()
	l := line{at: r.now.Truncate(time.Second)}
	dice := r.rng.Uint64()
	if dice%1500 == 0 {
		r.broken(dice >> 32)
		l.malformed = true
		return l
	}
	w, b := r.words, r.buf
	b = append(b, w.addresses.draw(r.rng)...)
	b = append(b, w.users[dice>>8%uint64(len(w.users))]...)
	b = append(b, r.stamp...)
	b = append(b, ' ', '"')
	method := methods[uint8(dice>>16)]
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, w.paths.draw(r.rng)...)
	if dice>>24&7 == 0 {
		b = append(b, "?page="...)
		b = strconv.AppendUint(b, dice>>27&63, 10)
	}
	b = append(b, ` HTTP/1.1" `...)
	l.status = statuses[dice>>33&1023]
	b = strconv.AppendInt(b, int64(l.status), 10)
	b = append(b, ' ')
	if l.status == 304 || method == "HEAD" {
		b = append(b, '-')
	} else {
		l.bytes = int64(dice>>43&0x7fff) + 120
		if dice>>58 == 0 {
			l.bytes *= 64
		}
		b = strconv.AppendInt(b, l.bytes, 10)
	}
	b = append(b, ' ', '"')
	b = append(b, w.referrers.draw(r.rng)...)
	b = append(b, '"', ' ', '"')
	if r.rng.Uint64()%2000 == 0 {
		b = append(b, "healthcheck/2.1 (WARN: slow disk)"...)
		l.warning = true
	} else {
		b = append(b, w.agents.draw(r.rng)...)
	}
	r.buf = append(b, '"', '\n')
	return l
}

// broken makes a line that no parser should take.
func (r *Reader) broken(kind uint64) {
	switch kind % 4 {
	case 0: // cut off in the request
		r.buf = append(r.buf, r.words.addresses.draw(r.rng)...)
		r.buf = append(r.buf, " - - "...)
		r.buf = append(r.buf, r.stamp...)
		r.buf = append(r.buf, " \"GET /cut/off/he\n"...)
	case 1: // a message of another program
		r.buf = append(r.buf, "[notice] caught signal, graceful restart requested\n"...)
	case 2: // no time
		r.buf = append(r.buf, "192.0.2.77 - - [-] \"GET / HTTP/1.1\" 200 12 \"-\" \"-\"\n"...)
	default:
		r.buf = append(r.buf, '\n')
	}
}

// tick moves the clock on: by half of Every at noon, three halves at midnight.
func (r *Reader) tick() {
	step := r.rng.Uint64() % (2 * uint64(r.options.Every)) // Every, on average
	hour := r.now.Hour()
	away := max(hour-12, 12-hour) // hours from noon
	r.now = r.now.Add(time.Duration(step/2 + step*uint64(away)/12))
	if s := r.now.Unix(); s != r.second {
		r.second = s
		r.stamp = r.now.AppendFormat(r.stamp[:0], "[02/Jan/2006:15:04:05 -0700]")
	}
}

var (
	methods = table[string]([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"},
		[]int{233, 6, 12, 2, 1, 2})
	statuses = table([]int{200, 206, 301, 302, 304, 400, 403, 404, 429, 500, 502, 503},
		[]int{880, 5, 16, 12, 60, 3, 4, 32, 2, 5, 2, 3})
)

// table repeats each value as often as its weight says.
func table[T any](values []T, weights []int) []T {
	var t []T
	for i, v := range values {
		for range weights[i] {
			t = append(t, v)
		}
	}
	return t
}

// A zipf draws from a list by Zipf's law: the k-th as often as 1/k. The law is
// worked out once into a table; one draw in 16 goes to the whole list evenly,
// so that the long tail is there too.
type zipf struct {
	values []string
	ranks  []uint32
}

const zipfTable = 1 << 14

func newZipf(values []string) *zipf {
	var sum float64
	for k := range values {
		sum += 1 / float64(k+1)
	}
	z := &zipf{values: values, ranks: make([]uint32, zipfTable)}
	var k int
	reached := 1 / sum
	for i := range z.ranks {
		for reached < float64(i)/zipfTable && k < len(values)-1 {
			k++
			reached += 1 / float64(k+1) / sum
		}
		z.ranks[i] = uint32(k)
	}
	return z
}

func (z *zipf) draw(rng *rand.Rand) string {
	dice := rng.Uint64()
	if dice>>60 == 0 {
		return z.values[dice&0xffffffff*uint64(len(z.values))>>32]
	}
	return z.values[z.ranks[dice%zipfTable]]
}
