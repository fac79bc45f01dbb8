package overview

import (
	"longshore/internal/httpapi"
	"longshore/internal/queue"
)

// Answer is how clients see the queues of an installation.
func (o Overview) Answer() []httpapi.QueueInfo {
	list := make([]httpapi.QueueInfo, len(o.Queues))
	for i, q := range o.Queues {
		list[i] = httpapi.QueueInfo{Queue: q.Place.Name(), Name: q.Queue, Lane: q.Lane,
			Priority: q.Priority, Pending: q.Pending, Active: q.Active, LatencyMS: q.Latency.Milliseconds(),
			Paused: q.Paused}
		for _, p := range q.Parked {
			list[i].Parked = append(list[i].Parked, httpapi.ParkedInfo{Type: p.Type, Pending: p.Pending,
				Served: o.Served(p.Type, q.Place)})
		}
	}
	return list
}

// Workers is how clients see worker processes.
func Workers(infos []queue.WorkerInfo) []httpapi.WorkerInfo {
	list := make([]httpapi.WorkerInfo, len(infos))
	for i, w := range infos {
		list[i] = httpapi.WorkerInfo{Host: w.Host, PID: w.PID, Slots: w.Slots, State: httpapi.WorkerTaking,
			Types: w.Types, Queues: w.Queues}
		if w.Draining {
			list[i].State = httpapi.WorkerDraining
		}
	}
	return list
}
