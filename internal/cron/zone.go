package cron

import (
	"errors"
	"time"
	_ "time/tzdata" // for machines that have no zones of their own
)

// ErrZone says that there is no such time zone.
var ErrZone = errors.New("there is no such time zone: expected a name as Europe/Berlin, or UTC")

// Zone returns a time zone by its name in the IANA database. What a machine calls its own is none.
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" || len(name) > 64 {
		return nil, ErrZone
	}
	in, err := time.LoadLocation(name)
	if err != nil {
		return nil, ErrZone
	}
	return in, nil
}
