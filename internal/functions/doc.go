// Package functions makes types of folders: functions/<type>/ holds a program in any
// language, and perhaps a function.json that says more about it.
//
// Load reads folders into Functions and says what is wrong with those it leaves out.
// What runs a function is its mode: package exec starts a process a job, others keep
// one warm or run a module. A mode is an Opener, which makes an Executor of a Function;
// an Executor's Run does one Attempt and returns its Outcome. The host, a worker or
// `enqueue functions run`, brings the attempt's facts and files and records what
// comes of it: no mode knows records, queues or HTTP.
//
// What modes share stands here too: LogWriter makes lines of what a program writes.
package functions
