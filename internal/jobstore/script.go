package jobstore

import (
	"cmp"
	"embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

//go:embed lua/*.lua
var sources embed.FS

// The numbers of the protocol, in milliseconds where they are times. Tests and
// docs/decisions.md say what each is good for.
const (
	recordVersion = 2
	shortSpec     = 64         // bytes up to which a spec is a field of its record: Redis packs no hash with a longer value
	lookMS        = 5_000      // a queued job is looked at this long after it was queued, then at doubling age
	lookMaxMS     = 600_000    // … up to this
	pushMS        = 60_000     // a record of a future version is looked at again after this
	stallMS       = 1_000      // a gap between sweeps from which leases get time back
	paceMS        = 500        // … but for this much of it
	sweepGapMS    = 200        // a sweep this soon after another one has nothing to do
	cancelCapMS   = 4_500      // a canceled run's lease ends this soon
	youngMS       = 60_000     // a run that lives this long is no reason to suspect its job
	suspectLosses = 2          // young runs lost in a row that make a job a suspect
	poisonLosses  = 5          // … and that end it
	patientLosses = 8          // other lost runs from which it waits before the next one
	restMS        = 10_000     // … this long, doubled each time,
	restMaxMS     = 600_000    // … up to this
	sweepLimit    = 100        // due entries taken a shard and index
	lookLimit     = 4          // looks for tickets that can hardly be lost: the oldest a shard and sweep, and as many of the newest
	asideMS       = 1e13       // such looks are kept in due at this much less than their time, below zero
	usedMinMS     = 5_000      // the end of a job whose files are used is looked at again after this
	usedMaxMS     = 60_000     // … and after this much at most
	unusedMS      = 600_000    // a user that has no record this long after it registered never got one
	callbackHold  = 86_400_000 // an undelivered callback keeps its record this long past the retention, at most
)

var versionText = strconv.Itoa(recordVersion)

// scripts are the programs that run in Redis, one a file of folder lua.
type scripts struct {
	create, uploaded, start, beat, finish, postpone, cancel, remove, look, sweep, use, unuse *redis.Script
	claim, hold, settle, callback, open                                                      *redis.Script

	take *redis.Script // nil where tickets and records are not on one Redis
}

// words is what the scripts are told apart from their own text.
type words struct {
	prefix  string
	now     string // Lua body that returns the time in milliseconds
	tickets TicketLua
	edit    func(string) string
}

// TicketLua is Lua of the queue (queue.Lua), for a Redis that holds tickets and
// records alike: a job is then created with its ticket, claimed with it and
// finished with it in one script call. The zero value = in calls of their own.
// The texts may use call, sub and match; each ends with settle(t), which writes
// what a call has gathered.
type TicketLua struct {
	Create string // push(queue, id, delivery, t)
	Claim  string // take(n), read_name, hold and drop(name), of the queue that ARGV[1] names
	Finish string // done(queue, id, delivery)
}

// loadScripts puts the scripts together. Those of the usual moves (short) have
// the shared words in a function, which they call for the jobs that need them.
func loadScripts(w words) scripts {
	if w.edit == nil {
		w.edit = func(s string) string { return s }
	}
	lib := prelude(w) + source("lib")
	script := func(name, flags string) *redis.Script {
		return redis.NewScript("#!lua flags=" + flags + "\n" + w.edit(lib+source("each")+source(name)))
	}
	short := func(flags, tickets, rare, parts string) *redis.Script {
		var b strings.Builder
		b.WriteString("#!lua flags=" + flags + "\n" + shortPrelude(w) + tickets)
		b.WriteString("local function words()\n" + lib + source(rare) + "return one, flush, cause\nend\n")
		for part := range strings.FieldsSeq(parts) {
			b.WriteString(source(part))
		}
		return redis.NewScript(w.edit(b.String()))
	}
	// A full Redis refuses new jobs and nothing else: what is there can still
	// be finished, canceled, swept and removed.
	const write, read = "allow-oom", "no-writes"
	s := scripts{
		create: short("", cmp.Or(w.tickets.Create, "local push, settle\n"), "create_one", "create quick"),
		start:  short(write, "local settle\n", "start_one", "start_quick start quick"),
		beat:   short(write, "local settle\n", "beat_one", "beat quick"),
		finish: short(write, cmp.Or(w.tickets.Finish, "local done, settle\n"), "finish_one", "finish quick"),

		uploaded: script("uploaded", write), postpone: script("postpone", write),
		cancel: script("cancel", write), remove: script("remove", write), look: script("look", write),
		sweep: script("sweep", write),
		use:   script("use", ""), unuse: script("unuse", write),
		claim: script("claim", write), hold: script("hold", write), settle: script("settle", write), callback: script("callback", read),
		open: script("open", ""),
	}
	if w.tickets.Claim != "" {
		s.take = short(write, w.tickets.Claim, "start_one", "start_quick take")
	}
	return s
}

// shortPrelude is the little that the usual moves need.
func shortPrelude(w words) string {
	return fmt.Sprintf("local PREFIX, VERSION, LOOK, ASIDE, SHORT, FRESH = '%s', '%d', %d, %d, %d, '%s 1 1 0 0 0 0 - -'\n",
		w.prefix, recordVersion, lookMS, int64(asideMS), shortSpec, stateLetters[job.Queued]) +
		"local call, sub, match, find = redis.call, string.sub, string.match, string.find\n" +
		"local function now() " + w.now + " end\n"
}

func source(name string) string {
	text, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // embedded: can't be missing
	}
	return string(text)
}

const redisTime = `local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000)`

// prelude writes the state machine of package job and the numbers above as Lua.
func prelude(w words) string {
	var b strings.Builder
	fmt.Fprintf(&b, "local VERSION, LOOK, LOOK_MAX, PUSH, STALL = '%d', %d, %d, %d, %d\n",
		recordVersion, lookMS, lookMaxMS, pushMS, stallMS)
	fmt.Fprintf(&b, "local SUSPECT, POISONED, MAX_ERRORS = %d, %d, %d\n", suspectLosses, poisonLosses, job.MaxErrors)
	fmt.Fprintf(&b, "local PACE, YOUNG, PATIENT, REST, REST_MAX = %d, %d, %d, %d, %d\n",
		paceMS, youngMS, patientLosses, restMS, restMaxMS)
	fmt.Fprintf(&b, "local USED_MIN, USED_MAX = %d, %d\n", usedMinMS, usedMaxMS)
	fmt.Fprintf(&b, "local ASIDE = %d\n", int64(asideMS))
	fmt.Fprintf(&b, "local CALLBACK_HOLD = %d\n", callbackHold)
	var states, letters, terminal, moves []string
	for _, s := range job.States {
		states = append(states, fmt.Sprintf("%s='%s'", stateLetters[s], s))
		letters = append(letters, fmt.Sprintf("%s='%s'", s, stateLetters[s]))
	}
	for _, from := range append([]job.State{""}, job.States...) {
		if from.Terminal() {
			terminal = append(terminal, fmt.Sprintf("%s=true", from))
		}
		for _, to := range from.Moves() {
			moves = append(moves, string(from)+">"+string(to))
		}
	}
	fmt.Fprintf(&b, "local PREFIX = '%s'\nlocal STATES = {%s}\nlocal LETTERS = {%s}\n",
		w.prefix, strings.Join(states, ","), strings.Join(letters, ","))
	fmt.Fprintf(&b, "local TERMINAL = {%s}\nlocal MOVES = ' %s '\n", strings.Join(terminal, ","), strings.Join(moves, " "))
	fmt.Fprintf(&b, "local function now() %s end\n", w.now)
	return b.String()
}
