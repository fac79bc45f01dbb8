// Command chaos strikes an installation of built programs while clients use it, and judges
// what they were told: see docs/reliability.md. It is for this project's own use and is not
// shipped.
//
//	chaos run        some minutes of faults, then the judgement; -h lists the flags
//	chaos controls   the same without a safeguard, one after the other: each must be found
//	chaos soak       a steady load without faults: does anything grow?
//	chaos check F    judges a history that was kept
//
// Packages below it: history is what a run leaves behind, check judges it, machine is what is
// struck, load is the clients. The nemesis and the passes of a run are here.
package main
