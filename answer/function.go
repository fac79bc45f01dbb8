package answer

import "time"

// A FunctionVersion is one content of a deployed function.
type FunctionVersion struct {
	Type    string    `json:"type"`
	Version int64     `json:"version" doc:"its number, from 1; a rollback gets a new one"`
	SHA256  string    `json:"sha256" doc:"of what was sent, in hex"`
	Size    int64     `json:"size" doc:"of what was sent, in bytes"`
	Kind    string    `json:"kind" doc:"wasm or tar.gz"`
	By      string    `json:"by" doc:"who deployed it: id of a key, root, or open where there is no token"`
	At      time.Time `json:"at"`
	Of      int64     `json:"of,omitempty" doc:"of a rollback: the number whose content it has"`
	Doc     string    `json:"doc,omitempty"`
}

// A Function is a deployed function, with the versions that are kept.
type Function struct {
	Type     string            `json:"type"`
	Current  int64             `json:"current" doc:"the number that new jobs are for"`
	Versions []FunctionVersion `json:"versions" doc:"the oldest first"`
}

// A RemovedFunction says what waits for a function that is deployed no more.
type RemovedFunction struct {
	Type string `json:"type"`
	Open int64  `json:"open" doc:"jobs of it that have not ended: they wait for another deployment, or are canceled"`
}
