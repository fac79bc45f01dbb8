package isolate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// A frame is one message between parent and child: the length of what follows
// in four bytes, big-endian, one byte that says what it is, and its body.
type frame struct {
	kind kind
	body []byte
}

type kind byte

// From parent to child. Stop and renew begin with the number of the work they
// mean, since the child may have ended it meanwhile.
const (
	kindWork  kind = 'w' // see order
	kindStop  kind = 's' // number, then the reason in a word
	kindRenew kind = 'r' // number, then until when it may run
)

// From child to parent.
const (
	kindReady kind = 'R' // takes work; see ready
	kindNews  kind = 'N' // how far the work is
	kindLog   kind = 'L' // a line for the operator
	kindReply kind = 'A' // the work has ended; see answer
)

// MaxBody is the most that a piece of work, its news or its reply may have.
const MaxBody = 1 << 20

// frameRoom is what the fields before a body may take.
const frameRoom = 8 << 10

var (
	errFrame = errors.New("malformed frame")
	errSize  = fmt.Errorf("over %d bytes", MaxBody)
)

// appendFrame appends a frame to b, whose body the given parts make up.
func appendFrame(b []byte, k kind, parts ...[]byte) []byte {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = append(b, byte(k))
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// readFrame reads one frame. io.EOF means that there was none.
func readFrame(r io.Reader) (frame, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 1 || n > MaxBody+frameRoom {
		return frame{}, fmt.Errorf("%w: length %d", errFrame, n)
	}
	f := frame{kind: kind(head[4]), body: make([]byte, n-1)}
	if _, err := io.ReadFull(r, f.body); err != nil {
		return frame{}, fmt.Errorf("%w: %w", errFrame, io.ErrUnexpectedEOF)
	}
	return f, nil
}

// An order is the body of a work frame.
type order struct {
	number uint32
	until  time.Duration // on the machine's clock, see uptime; 0 = no end
	input  bool          // a descriptor comes along
	folder string
	body   []byte
}

func (o order) encode(b []byte) []byte {
	var head []byte
	head = binary.BigEndian.AppendUint32(head, o.number)
	head = binary.BigEndian.AppendUint64(head, uint64(o.until))
	head = appendBool(head, o.input)
	head = binary.BigEndian.AppendUint16(head, uint16(len(o.folder)))
	head = append(head, o.folder...)
	return appendFrame(b, kindWork, head, o.body)
}

func decodeOrder(b []byte) (o order, err error) {
	d := decoder{b: b}
	o = order{number: d.uint32(), until: time.Duration(d.uint64()), input: d.bool()}
	o.folder = string(d.bytes(int(d.uint16())))
	o.body = d.b
	return o, d.err
}

// An answer is the body of a reply frame.
type answer struct {
	number uint32
	usage  Usage
	// total is the CPU time that the child has used in all its life.
	total time.Duration
	// tidies says that the child tidies up before it is ready again.
	tidies bool
	// worn says that the child should be replaced: it has processes or many
	// goroutines left over from the work, or asked for it.
	worn bool
	body []byte
}

func (a answer) encode(b []byte) []byte {
	var head []byte
	head = binary.BigEndian.AppendUint32(head, a.number)
	head = binary.BigEndian.AppendUint64(head, uint64(a.usage.CPU))
	head = binary.BigEndian.AppendUint64(head, uint64(a.usage.PeakResident))
	head = binary.BigEndian.AppendUint64(head, uint64(a.total))
	head = appendBool(head, a.tidies)
	head = appendBool(head, a.worn)
	return appendFrame(b, kindReply, head, a.body)
}

func decodeAnswer(b []byte) (answer, error) {
	d := decoder{b: b}
	a := answer{number: d.uint32()}
	a.usage = Usage{CPU: time.Duration(d.uint64()), PeakResident: int64(d.uint64())}
	a.total = time.Duration(d.uint64())
	a.tidies, a.worn = d.bool(), d.bool()
	a.body = d.b
	if d.err == nil && (a.usage.CPU < 0 || a.usage.PeakResident < 0 || a.total < 0) {
		d.err = fmt.Errorf("%w: negative usage", errFrame)
	}
	return a, d.err
}

// numbered is the body of a stop or renew frame.
func decodeNumbered(b []byte) (number uint32, rest []byte, err error) {
	d := decoder{b: b}
	number = d.uint32()
	return number, d.b, d.err
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// A decoder takes fields off the front of b and remembers if there were too few.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) bytes(n int) []byte {
	if d.err != nil || len(d.b) < n {
		d.err = fmt.Errorf("%w: too short", errFrame)
		return nil
	}
	field := d.b[:n]
	d.b = d.b[n:]
	return field
}

func (d *decoder) uint16() uint16 {
	if b := d.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) bool() bool {
	b := d.bytes(1)
	return b != nil && b[0] != 0
}
