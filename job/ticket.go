package job

// A Ticket brings a queued job to a worker. It counts only while the job is
// queued and its delivery is the record's; any other ticket is void.
type Ticket struct {
	ID       ID
	Delivery int64
	Type     string
	Lane     Lane
	Priority Priority
}
