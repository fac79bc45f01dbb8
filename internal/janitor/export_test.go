package janitor

// SweepOrphansOnce is one turn of SweepOrphans.
var SweepOrphansOnce = (*Janitor).sweepOrphans

// Drop is what a sweep does to what nobody knows.
var Drop = (*Janitor).drop
