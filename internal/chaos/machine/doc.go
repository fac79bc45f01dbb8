// Package machine is what a chaos run strikes: a Redis, a proxy before it, web processes and
// workers, each a process of its own, and what can be done to them. It tells the history
// what the programs say.
package machine
