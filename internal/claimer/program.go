package claimer

// A Program is what enqueue work has the program worker run, as JSON.
type Program struct {
	Types     []string `json:"types"`
	Queues    []string `json:"queues,omitempty"`
	Slots     int      `json:"slots"`
	Worker    string   `json:"worker"`               // the name of the process
	GraceMS   int64    `json:"grace_ms"`             // from the first signal on
	Command   []string `json:"command"`              // a program and its arguments
	InputFile bool     `json:"input_file,omitempty"` // inputs come as files, not by stdin
	Memory    int64    `json:"memory,omitempty"`     // bytes of a job's processes; 0 = as much as there is
}
