package janitor

// SweepOrphansOnce is one turn of SweepOrphans.
var SweepOrphansOnce = (*Janitor).sweepOrphans
