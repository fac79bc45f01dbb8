package job

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
	"time"
)

// Shards is the number of parts the records are spread over, so that a Redis
// Cluster can hold them on several nodes. It is part of every key's name and
// can't change for a living installation.
const Shards = 16

// An ID names one job. It is a UUIDv7 (RFC 9562, section 5.7) in its canonical
// form, 36 lower-case characters, so ids sort by the time they were drawn.
type ID string

// ErrBadID says that a text is not the canonical form of a UUIDv7.
var ErrBadID = errors.New("job id is not a UUIDv7 in lower case")

// NewID draws an id for the given time (cut to milliseconds) with 74 random bits.
func NewID(now time.Time) ID {
	var drawn [10]byte
	rand.Read(drawn[:]) // never fails (crypto/rand, Go 1.24)
	return IDFrom(now, drawn)
}

// IDFrom makes the id of a time and of what takes the place of chance: bits that nobody else comes by.
func IDFrom(at time.Time, bits [10]byte) ID {
	var b [16]byte
	copy(b[6:], bits[:])
	ms := uint64(at.UnixMilli())
	binary.BigEndian.PutUint16(b[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(ms))
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], b[0:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:36], b[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return ID(text[:])
}

// NewIDIn draws an id that belongs to a shard.
func NewIDIn(now time.Time, shard int) ID {
	id := NewID(now)
	return id[:len(id)-1] + ID(strconv.FormatUint(uint64(shard), 16))
}

// ParseID accepts exactly what NewID writes: no capitals, braces or urn prefix.
func ParseID(s string) (ID, error) {
	if len(s) != 36 || s[14] != '7' {
		return "", ErrBadID
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return "", ErrBadID
			}
		case 19:
			if c != '8' && c != '9' && c != 'a' && c != 'b' {
				return "", ErrBadID
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return "", ErrBadID
			}
		}
	}
	return ID(s), nil
}

// Time returns the moment the id was drawn, in milliseconds' precision. It is
// meaningful only for an id that ParseID or NewID returned.
func (id ID) Time() time.Time {
	b, err := hex.DecodeString(string(id[0:8]) + string(id[9:13]))
	if err != nil {
		return time.Time{}
	}
	ms := int64(binary.BigEndian.Uint16(b))<<32 | int64(binary.BigEndian.Uint32(b[2:]))
	return time.UnixMilli(ms).UTC()
}

// Shard returns the part that holds the id's record, 0 to Shards-1.
func (id ID) Shard() int { return ShardOf(string(id)) }

// ShardOf returns the part of an id or a hash: its last hexadecimal digit, so
// that a script in Redis can tell it too.
func ShardOf(text string) int {
	if text == "" {
		return 0
	}
	n, _ := strconv.ParseUint(text[len(text)-1:], 16, 8) // ids are checked where they come in
	return int(n)
}

// Raw returns the id's 16 bytes, as Redis has them; "" for what is no id.
func (id ID) Raw() string {
	var b [16]byte
	if len(id) != 36 {
		return ""
	}
	for i, at := range [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		if _, err := hex.Decode(b[i:i+1], []byte(id[at:at+2])); err != nil {
			return ""
		}
	}
	return string(b[:])
}

// FromRaw is the way back; "" for what has not 16 bytes.
func FromRaw(raw string) ID {
	if len(raw) != 16 {
		return ""
	}
	const digits = "0123456789abcdef"
	text := make([]byte, 0, 36)
	for i := range len(raw) {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text = append(text, '-')
		}
		text = append(text, digits[raw[i]>>4], digits[raw[i]&15])
	}
	return ID(text)
}
