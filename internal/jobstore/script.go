package jobstore

import (
	"embed"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/internal/redisdb"
	"longshore/job"
)

//go:embed lua/*.lua
var sources embed.FS

// The numbers of the protocol, in milliseconds where they are times. Tests and
// docs/decisions.md say what each is good for.
const (
	// what has no lease and no ticket is looked at after this, then at doubling age
	lookMS        = 5_000
	lookMaxMS     = 600_000 // … up to this
	pushMS        = 60_000  // a record of a future version is looked at again after this
	stallMS       = 1_000   // a gap between sweeps from which leases get time back
	paceMS        = 500     // … but for this much of it
	sweepGapMS    = 200     // a sweep this soon after another one has nothing to do
	cancelCapMS   = 4_500   // a canceled run's lease ends this soon
	handMost      = 1_000   // tickets that are looked at for a claim, in a call
	claimLeaseMS  = 30_000  // the lease of a run that was claimed over HTTP
	claimCapMS    = 15_000  // … and when it was canceled
	youngMS       = 60_000  // a run that lives this long is no reason to suspect its job
	suspectLosses = 2       // young runs lost in a row that make a job a suspect
	poisonLosses  = 5       // … and that end it
	patientLosses = 8       // other lost runs from which it waits before the next one
	restMS        = 10_000  // … this long, doubled each time,
	restMaxMS     = 600_000 // … up to this
	sweepLimit    = 100     // due entries taken a partition and index
	dueLimit      = 2_000   // due schedules that a sweep names, a partition
	walkChunk     = 200     // jobs of one step of a walk after lost tickets
	batchPause    = 100     // a batch tells this seldom how far it is
	usedMinMS     = 5_000   // the end of a job whose files are used is looked at again after this
	usedMaxMS     = 60_000  // … and after this much at most
	tellMost      = 32      // jobs after one that has ended that are told in the call that ends it
	tellSweep     = 200     // … and in a sweep
	pumpMost      = 50      // tickets of a line that are looked at when a slot is free
	paceMost      = 50      // classes that get tokens in a call
	classesSwept  = 20      // classes of limits that a sweep looks at, and slots of each
	unusedMS      = 600_000 // a user that has no record this long after it registered never got one
	// an undelivered callback keeps its record this long past the retention, at most
	callbackHold = 86_400_000
	claimMS      = 3_600_000 // a chosen id stays taken this long from its creation, even if its record goes
)

// scripts are the programs that run in Redis, one a file of folder lua.
type scripts struct {
	create, take, finish, beat                 *redis.Script // the short ways of the usual moves
	createLong, takeLong, finishLong, beatLong *redis.Script // … and of what they leave

	uploaded, start, postpone, cancel, remove, sweep, walk, use, unuse, erase *redis.Script
	claim, hold, settle, callback, open                                       *redis.Script
	log, logged, vouch, accept, parts, mark                                   *redis.Script
	tick, schedule, unschedule                                                *redis.Script
	enter, resolve, release, limits, pace                                     *redis.Script
	close, counted, shares, paid                                              *redis.Script // of batches
	change, resend                                                            *redis.Script
	mend, prune, renew, tally                                                 *redis.Script // of Fix
	dump, restore                                                             *redis.Script // of backups
	enroll, unlist                                                            *redis.Script // of queues
	hand, takeBack, keep, made, said                                          *redis.Script // of claims
}

// words is what the scripts are told apart from their own text.
type words struct {
	prefix string
	now    string // Lua body that returns the time in milliseconds
	parts  int
	edit   func(string) string
}

const redisTime = `local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000)`

// turnedTime is the time of a store whose clock tests turn.
const turnedTime = `return tonumber(call('GET', P .. 'clock'))`

// loadScripts puts the scripts together. The long ways have all shared words before them.
func loadScripts(w words) scripts {
	script := func(flags, names string) *redis.Script {
		var b strings.Builder
		for name := range strings.FieldsSeq(names) {
			if name == "gcra" {
				b.WriteString(redisdb.GCRA)
				continue
			}
			b.WriteString(source(name))
		}
		text := b.String()
		if w.edit != nil {
			text = w.edit(text)
		}
		return redis.NewScript("#!lua flags=" + flags + "\n" + w.fill(text))
	}
	// A full Redis refuses new jobs and nothing else: what is there can still
	// be finished, canceled, swept and removed.
	const write, read, lib = "allow-oom", "no-writes", "base raise gcra lib wait slots batches "
	return scripts{
		create: script("", "base create"), createLong: script("", lib+"unique make create_long"),
		take: script(write, "base raise take"), takeLong: script(write, lib+"taken take_long"),
		finish: script(write, "base raise finish"), finishLong: script(write, lib+"attempt finish_long"),
		beat: script(write, "base raise beat"), beatLong: script(write, lib+"beat_long"),
		uploaded: script(write, lib+"uploaded"), start: script(write, lib+"start"),
		postpone: script(write, lib+"postpone"), cancel: script(write, lib+"stop cancel"),
		remove: script(write, lib+"remove"), sweep: script(write, lib+"attempt sweep"),
		walk: script(write, lib+"mend_words walk"), mend: script(write, lib+"mend_words mend"),
		dump: script(read, lib+"dump"), restore: script("", lib+"mend_words restore"),
		prune: script(write, "base prune"), renew: script(write, "base renew"),
		tally: script(write, lib+"tally"), use: script("", lib+"use"), unuse: script(write, lib+"unuse"),
		erase: script(write, lib+"erase"),
		claim: script(write, lib+"claim"), hold: script(write, lib+"hold"),
		settle: script(write, lib+"settle"), callback: script(read, lib+"callback"),
		tick: script("", lib+"unique make stop tick"), schedule: script("", "base schedule"),
		unschedule: script(write, "base unschedule"),
		enter:      script(write, lib+"enter"), resolve: script(write, lib+"resolve"),
		close: script(write, lib+"close"), counted: script(write, lib+"counted"),
		shares: script(write, lib+"shares"), paid: script(write, "base paid"),
		release: script(write, lib+"release"), limits: script(write, "base limits"),
		change: script(write, lib+"change"), resend: script(write, lib+"resend"),
		pace: script(write, lib+"pace"), enroll: script("", "enroll"), unlist: script(write, "base unlist"),
		open: script("", "base open"), log: script(write, "base log"), logged: script(write, lib+"logged"),
		vouch: script(write, "vouch"), accept: script(write, "accept"),
		parts: script(write, "parts"), mark: script(write, "mark"),
		hand: script(write, lib+"taken hand"), takeBack: script(write, lib+"take_back"),
		keep: script(write, lib+"keep"), made: script(write, lib+"made"), said: script(write, lib+"said"),
	}
}

var (
	mayPattern   = regexp.MustCompile(`@MAY\((\w*)>(\w+)\)@`)
	queuePattern = regexp.MustCompile(`@QUEUE\(([^@]*)\)@`)
	ringPattern  = regexp.MustCompile(`@RING\(([^,@]*)(?:, ([^@]*))?\)@`)
	namePattern  = regexp.MustCompile(`@(\w+)@`)
)

// fill puts the generated parts in: constants; whether the state machine has a move; keys and
// rings of queues. A name that there isn't is a panic, in each test.
func (w words) fill(text string) string {
	text = mayPattern.ReplaceAllStringFunc(text, func(m string) string {
		parts := mayPattern.FindStringSubmatch(m)
		if job.MayMove(job.State(parts[1]), job.State(parts[2])) {
			return "true"
		}
		return "false"
	})
	text = queuePattern.ReplaceAllStringFunc(text, func(m string) string {
		return w.keysLua(queuePattern.FindStringSubmatch(m)[1])
	})
	text = ringPattern.ReplaceAllStringFunc(text, func(m string) string {
		parts := ringPattern.FindStringSubmatch(m)
		return w.ring(parts[1], parts[2])
	})
	constants := w.constants()
	return namePattern.ReplaceAllStringFunc(text, func(m string) string {
		value, ok := constants[m[1:len(m)-1]]
		if !ok {
			panic("script: no value for " + m)
		}
		return value
	})
}

func source(name string) string {
	text, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // embedded: can't be missing
	}
	return string(text)
}
