// Package alerts tells people what is wrong with an installation, once when it begins and once when it
// is over, whoever restarts meanwhile.
//
// Any process may look, and each 5 s one of all does: it reads what fires, compares it with what it sees
// (conditions.go, judge.go), and writes what came of it with the messages that are owed, in one step that
// a slower one can't repeat. Any process that has the receivers' URLs sends (send.go): who claims a
// receiver sends to it alone, until it says how that went, or its claim ends. Killed between the two, the
// next sends once more, with the same webhook-id.
//
// All of it is one hash, P:alerts:
//
//	look          when somebody looked last, by Redis's clock (ms)
//	rev           grows with each change: what was read under another one is not written
//	a:<name>      an alert, JSON (held): one that fires, or that is about to
//	ended         the newest that are over, JSON
//	fs            until when failed jobs were counted (ms)
//	minute        the last minute in which schedules were looked at
//	missed        schedule → ticks that it had missed then, JSON
//	untold        conditions that were left out, for so many were firing
//	r:<receiver>  host and kind of a receiver, "<kind> <host>"; s: when a process that has it said so (ms)
//	n:<receiver>:<number>  a message that it is owed: "<due ms> <attempts> <JSON>"
//	c:<receiver>  who sends to it: "<token> <until ms>"
//	o:<receiver>  how the last attempt ended, "<ms> <status> <code> <message's id>"; ok: and bad: count
//
// A receiver's name is a digest of its URL, which holds a secret, and is kept nowhere.
package alerts
