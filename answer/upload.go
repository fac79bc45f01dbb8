package answer

import (
	"time"

	"longshore/job"
)

// A DirectUpload is a file on its way straight to the bucket that jobs' files are in.
type DirectUpload struct {
	ID        job.ID       `json:"id" doc:"of the upload, and of its job"`
	Complete  bool         `json:"complete" doc:"it was completed, and its job began"`
	Size      int64        `json:"size" doc:"bytes"`
	PartSize  int64        `json:"part_size" doc:"bytes, of each part but the last; 0 of one that is complete"`
	PartCount int          `json:"part_count"`
	PartsDone int          `json:"parts_done" doc:"parts that are in the bucket"`
	BytesDone int64        `json:"bytes_done"`
	Checksum  string       `json:"checksum,omitempty" doc:"sha256: each part is sent with its sum, for which its address is asked"`
	Parts     []UploadPart `json:"parts" doc:"those that are missing, of the parts that were asked for"`
	Next      int          `json:"next,omitempty" doc:"the part from which on to ask for more; none: there are no more"`
	URLsEnd   *time.Time   `json:"urls_expire_at,omitempty" doc:"when the addresses of the parts end; ask for others then"`
	ExpiresAt *time.Time   `json:"expires_at,omitempty" doc:"when the upload ends, unless its parts are asked for before"`
}

// An UploadPart is one part of such a file, and where it goes.
type UploadPart struct {
	Number  int               `json:"number" doc:"from 1: it begins at (number - 1) × part_size"`
	Size    int64             `json:"size" doc:"bytes, neither more nor less"`
	URL     string            `json:"url" doc:"where to send it, by PUT; a secret for as long as it is good"`
	Headers map[string]string `json:"headers" doc:"to be sent with it"`
}

// UploadParts asks where parts of a direct upload are to be sent.
type UploadParts struct {
	From   int      `json:"from,omitempty" minimum:"1" doc:"the first part to look at; 1 by default"`
	Count  *int     `json:"count,omitempty" minimum:"0" maximum:"100" doc:"how many to look at; 100 by default"`
	SHA256 []string `json:"sha256,omitempty" maxItems:"100" doc:"instead of count, of an upload with checksum: the sums of the parts from there on, in hexadecimal"`
}

// UploadEnd says that a direct upload is complete.
type UploadEnd struct {
	SHA256 string `json:"sha256,omitempty" doc:"of an upload with checksum, in hexadecimal: the SHA-256 of the parts' SHA-256 sums (32 bytes each), one after the other"`
}
