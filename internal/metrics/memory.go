package metrics

import "longshore/internal/memory"

// Memory adds what a watch of this process's memory has found.
func (s *Set) Memory(w *memory.Watch) {
	s.Gauge("longshore_memory_live_bytes", "What lived in this process's heap, stacks counted, when it was "+
		"looked at last.", func() float64 { return float64(w.Live()) })
	s.Gauge("longshore_memory_alarm", "1 for an hour after an alarm: the memory of this process only grows, "+
		"or is over its limit.", func() float64 {
		if _, _, ok := w.Alarm(); ok {
			return 1
		}
		return 0
	})
	s.Counter("longshore_memory_alarms_total", "Alarms of this process's memory.",
		func() float64 { return float64(w.Alarms()) })
}
