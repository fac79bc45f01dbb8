package jobstore

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"longshore/internal/access"
	"longshore/job"
)

// The record is one string, big-endian, times in milliseconds:
//
//	 0 version   1 state, a letter   2 number of its head (8)   10 rev (4)   14 delivery (2)
//	16 attempts consumed   17 young runs lost in a row   18 flags (3)   21 created (6)   27 place in it (2)
//
// Behind these 29 bytes stand, in this order, the parts that a flag tells of:
//
//	R  started (6) and fence (12): of the run or upload under way, else of the last one that finished
//	L  fence of the last one that finished, once another holds the job
//	E  finished (6, 0 = not yet), failure code, wall ms, CPU ms, peak KiB (4 each)
//	K  result: length (2), text; 65535 = in r:
//	A  run at (6)         X  expires at (6)       M  owner (12)             T  trace id, span, flags (25)
//	B  batch (16)         F  function (4)         I  idempotency hash (16)  D  digest of a request (16)
//	U  length (1) and names (record.go)           N  family (8), length (1), text: no head
//
// and then the payload. Flags without a part: C cancel requested, O owes something at its
// end, P payload in p:, H rare fields in x:, G progress in g:, V failed attempts in e:, S a story in s:. What
// moves stands first, so the usual start and finish insert and don't parse. Only this file
// spells offsets, letters and flags: scripts get them from here, as @NAMES@.
const (
	recordVersion = 3
	fixedSize     = 29
	shortPayload  = 256 // bytes up to which a payload, or a result, stands in the record
	longResult    = 65535
	noUsage       = 1<<32 - 1 // wall ms where no usage is told
	maxHeads      = 4_096     // a partition; further ones stand in their records
)

// Format is the version of the records, which a backup has as they are.
const Format = recordVersion

// Flags, as the three bytes read as one number.
const (
	flagR uint32 = 1 << (16 + iota) // byte 18: what the short ways look at
	flagL
	flagE
	flagK
	flagC
	flagX
	flagN
	flagO
)

const (
	flagA uint32 = 1 << (8 + iota) // byte 19
	flagM
	flagT
	flagB
	flagF
	flagI
	flagU
	flagD
)

const (
	flagP uint32 = 1 << iota // byte 20
	flagH
	flagG
	flagV
	flagS
	flagsEnd
)

// stateLetters are how records spell the states.
var stateLetters = map[job.State]string{
	job.Uploading: "u", job.Awaiting: "a", job.Scheduled: "w", job.Queued: "q", job.Running: "r",
	job.Retrying: "y", job.Succeeded: "s", job.Failed: "f", job.Canceled: "c", job.Expired: "x",
}

// states is the way back.
var states = func() map[string]job.State {
	m := map[string]job.State{}
	for s, letter := range stateLetters {
		m[letter] = s
	}
	m[retriedLetter] = job.Failed
	return m
}()

// retriedLetter is that of a failed job that was retried since: its state is failed as before, but it is
// counted and found apart.
const retriedLetter = "F"

// maxTries is how many tries of a callback are kept.
const maxTries = 12

// maxStory is how many lines of a job's story are kept.
const maxStory = 64

// rareStates have an index of their own.
var rareStates = []job.State{job.Failed, job.Canceled, job.Expired, job.Awaiting}

// codes are the failure codes by their byte: a new one goes to the end. 0 is none, 255 one that is not here,
// in x:.
var codes = []job.Code{"", job.HandlerError, job.Timeout, job.OutOfMemory, job.Crashed, job.Poisoned,
	job.UploadIncomplete, job.CorruptInput, job.RecordTooLong, job.OutputLimit, job.WindowLimit,
	job.StepLimit, job.ImageTooLarge, job.TypeMismatch, job.StorageError, job.Unsupported,
	job.DependencyFailed, job.DependencyGone, job.JobsFailed}

const otherCode = 255

// constants are what scripts have in place of @NAMES@.
func (w words) constants() map[string]string {
	c := map[string]string{
		"VERSION": `\` + strconv.Itoa(recordVersion), "VERSION_NUMBER": strconv.Itoa(recordVersion),
		"TENANT": access.DefaultTenant, "PREFIX": w.prefix, "NOW": w.now, "BATCH": job.BatchType, "DELETE_AT_END": job.DeleteAtEnd, "LATER": laterSaid,
		"OTHER_CODE": strconv.Itoa(otherCode), "MAX_HEADS": strconv.Itoa(maxHeads),
		"MAX_STORY": strconv.Itoa(maxStory), "RETRIED": retriedLetter,
		"MAX_ERRORS": strconv.Itoa(job.MaxErrors), "MAX_TRIES": strconv.Itoa(maxTries),
		"CLAIMER": claimer, "NO_USAGE": strings.Repeat(`\255`, 4) + strings.Repeat(`\0`, 8), "MSG": luaBytes(ticketMessage("")),
	}
	for name, ms := range map[string]int64{"LOOK": lookMS, "LOOK_MAX": lookMaxMS, "PUSH": pushMS,
		"STALL": stallMS, "SUSPECT": suspectLosses, "POISONED": poisonLosses, "PACE": paceMS,
		"YOUNG": youngMS, "PATIENT": patientLosses, "REST": restMS, "REST_MAX": restMaxMS,
		"TELL": tellMost, "PUMP": pumpMost, "PACES": paceMost, "CLASSES": classesSwept, "TELL_SWEEP": tellSweep, "PARTS": int64(w.parts), "USED_MIN": usedMinMS, "BATCH_PAUSE": batchPause, "USED_MAX": usedMaxMS, "CALLBACK_HOLD": callbackHold,
		"CLAIM_LEASE": claimLeaseMS, "HAND_MOST": handMost, "CLAIM_CAP": claimCapMS, "CLAIM": claimMS} {
		c[name] = strconv.FormatInt(ms, 10)
	}
	for name, flag := range map[string]uint32{"R": flagR, "L": flagL, "E": flagE, "K": flagK, "C": flagC,
		"X": flagX, "N": flagN, "O": flagO, "RE": flagR | flagE, "REK": flagR | flagE | flagK, "A": flagA,
		"M": flagM, "T": flagT, "B": flagB, "F": flagF, "I": flagI, "U": flagU, "D": flagD, "P": flagP,
		"H": flagH, "G": flagG, "V": flagV, "S": flagS, "LAST": flagsEnd - 1} {
		for flag > 255 {
			flag >>= 8
		}
		c["F_"+name] = strconv.Itoa(int(flag))
	}
	var names, terminal, moves, numbers []string
	for _, s := range job.States {
		c[string(s)] = stateLetters[s]
		names = append(names, fmt.Sprintf("%s='%s'", stateLetters[s], s))
	}
	for _, from := range append([]job.State{""}, job.States...) {
		if from.Terminal() {
			terminal = append(terminal, string(from)+"=true")
		}
		for _, to := range from.Moves() {
			moves = append(moves, string(from)+">"+string(to))
		}
	}
	for i, code := range codes[1:] {
		numbers = append(numbers, fmt.Sprintf("%s=%d", code, i+1))
	}
	var named []string
	for _, at := range job.PlacesOf("") {
		named = append(named, "'"+at.Name()+"'")
	}
	c["QUEUES"] = strings.Join(named, ", ")
	c["STATES"], c["TERMINAL"] = "{"+strings.Join(names, ",")+"}", "{"+strings.Join(terminal, ",")+"}"
	c["MOVES"], c["CODES"] = strings.Join(moves, " "), "{"+strings.Join(numbers, ",")+"}"
	return c
}

// A record is one job as it is stored, taken apart.
type record struct {
	state            job.State
	retried          bool   // a failed one was retried since
	head             string // its number
	rev              int64
	delivery         int64
	attempts, losses int
	flags            uint32
	created          int64
	place            int

	started      int64
	fence, ended string // of who holds it; of the last one that finished
	finished     int64
	code         byte
	usage        *job.Usage
	result       string
	runAt        int64
	expires      int64
	function     int64 // number of a deployed function's version; 0 = none
	digest       string
	batch        job.ID
	owner        string // its code
	trace        string // part T
	names        string // part U
	family, text string // of a head without a number
	payload      string
}

// errRecord says what about a stored record is wrong.
type errRecord string

func (e errRecord) Error() string { return string(e) }

// newer tells a record of a newer version.
const newer = errRecord("record is of a newer version")

// parseFixed reads what each record begins with.
func parseFixed(core string) (r record, err error) {
	switch {
	case core != "" && core[0] > recordVersion:
		return r, newer
	case len(core) < fixedSize || core[0] != recordVersion:
		return r, errRecord("record is cut short")
	}
	b := []byte(core[:fixedSize])
	r = record{state: states[core[1:2]], retried: core[1:2] == retriedLetter, head: core[2:10],
		rev: int64(binary.BigEndian.Uint32(b[10:])), delivery: int64(binary.BigEndian.Uint16(b[14:])),
		attempts: int(b[16]), losses: int(b[17]), flags: uint32(b[18])<<16 | uint32(b[19])<<8 | uint32(b[20]),
		created: uint48(core[21:]), place: int(binary.BigEndian.Uint16(b[27:]))}
	if r.state == "" || r.flags&0xff >= flagsEnd {
		return r, errRecord("unknown letter or flag")
	}
	return r, nil
}

func (r *record) has(flag uint32) bool { return r.flags&flag != 0 }

// held tells whether a worker or an upload holds the job.
func (r *record) held() bool { return r.state == job.Running || r.state == job.Uploading }

func uint48(s string) int64 {
	return int64(s[0])<<40 | int64(s[1])<<32 | int64(s[2])<<24 | int64(s[3])<<16 | int64(s[4])<<8 |
		int64(s[5])
}

func uint32At(s string, i int) int64 {
	return int64(s[i])<<24 | int64(s[i+1])<<16 | int64(s[i+2])<<8 | int64(s[i+3])
}

// parts reads what stands behind the fixed bytes.
type parts struct {
	rest string
	bad  bool
}

func (p *parts) next(n int) string {
	if n > len(p.rest) {
		p.bad, p.rest = true, ""
		return strings.Repeat("\x00", n)
	}
	part := p.rest[:n]
	p.rest = p.rest[n:]
	return part
}

// parseRecord reads a whole record.
func parseRecord(core string) (record, error) {
	r, err := parseFixed(core)
	if err != nil {
		return r, err
	}
	p := parts{rest: core[fixedSize:]}
	if r.has(flagR) {
		run := p.next(18)
		r.started = uint48(run)
		if fence := run[6:]; fence != noFence {
			if r.held() {
				r.fence = fence
			} else {
				r.ended = fence
			}
		}
	}
	if r.has(flagL) {
		r.ended = p.next(12)
	}
	if r.has(flagE) {
		r.parseEnd(p.next(19))
	}
	if r.has(flagK) {
		n := p.next(2)
		if size := int(n[0])<<8 | int(n[1]); size != longResult {
			r.result = p.next(size)
		}
	}
	if r.has(flagA) {
		r.runAt = uint48(p.next(6))
	}
	if r.has(flagX) {
		r.expires = uint48(p.next(6))
	}
	if r.has(flagM) {
		r.owner = p.next(access.OwnerSize)
	}
	for _, part := range []struct {
		flag uint32
		size int
	}{{flagT, traceSize}, {flagB, 16}, {flagF, 4}, {flagI, 16}} {
		if !r.has(part.flag) {
			continue
		}
		switch text := p.next(part.size); part.flag {
		case flagT:
			r.trace = text
		case flagB:
			r.batch = job.FromRaw(text)
		case flagF:
			r.function = uint32At(text, 0)
		}
	}
	if r.has(flagD) {
		r.digest = p.next(16)
	}
	if r.has(flagU) {
		r.names = p.next(int(p.next(1)[0]))
	}
	if r.has(flagN) {
		inline := p.next(9)
		r.family, r.text = inline[:8], p.next(int(inline[8]))
	}
	r.payload = p.rest
	if p.bad || r.held() && !r.has(flagR) {
		return r, errRecord("record is cut short")
	}
	return r, nil
}

func (r *record) parseEnd(end string) {
	r.finished, r.code = uint48(end), end[6]
	if wall := uint32At(end, 7); wall != noUsage {
		r.usage = &job.Usage{WallMS: wall, CPUMS: uint32At(end, 11), PeakRSSBytes: uint32At(end, 15) << 10}
	}
}

// encodeUsage is the usage as part E has it: more than fits is as much as fits.
func encodeUsage(u job.Usage) string {
	var b [12]byte
	binary.BigEndian.PutUint32(b[0:], uint32(min(max(u.WallMS, 0), noUsage-1)))
	binary.BigEndian.PutUint32(b[4:], uint32(min(max(u.CPUMS, 0), noUsage)))
	binary.BigEndian.PutUint32(b[8:], uint32(min(max((u.PeakRSSBytes+1023)>>10, 0), noUsage)))
	return string(b[:])
}

func flagBytes(flags uint32) string {
	return string([]byte{byte(flags >> 16), byte(flags >> 8), byte(flags)})
}
