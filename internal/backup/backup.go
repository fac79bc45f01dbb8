// Package backup writes what an installation needs to go on into a folder, and puts it into an empty one:
// open jobs, schedules, limits, API keys, people, functions, claimed types, pauses, and the files of jobs or
// their names.
// Each room tells its own part and takes it back; this package has the folder, and the order in which it
// goes.
//
//	DIR/manifest.json      what is in the folder, with counts and checksums; written last
//	DIR/jobs.ndjson        a jobstore.Kept a line, by their creation
//	DIR/after.ndjson       jobs that wait for others, and how far that is
//	DIR/batches.ndjson     batches beside their records
//	DIR/files.ndjson       files that are copied, or that get another name
//	DIR/<room>.ndjson      {"name", "value"} a line: schedules, limits, access, functions, pauses, types
//	DIR/files/<n>          copied files
//
// A backup that was ended in its midst has no manifest, and is none.
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"longshore/internal/jobstore"
)

// How the files of jobs go along.
const (
	ByCopy = "copy" // they lie in the backup
	ByName = "name" // they stay where they are: both installations have one place
)

// Errors of backups.
var (
	ErrFolder = errors.New("the folder is not empty")
	// ErrNone says that a folder has no whole backup.
	ErrNone = errors.New("there is no whole backup")
	// ErrChanged says that a backup is not as it was written.
	ErrChanged = errors.New("the backup was changed, or is damaged")
	// ErrNewer says that a backup is a newer release's, or of records that this release doesn't read.
	ErrNewer = errors.New("the backup is of another release")
	// ErrPlace says that files that were not copied are elsewhere.
	ErrPlace = errors.New("the files of its jobs were not copied, and BLOB_URL names another place than theirs")
)

// version is that of the folder's form.
const version = 1

// A Manifest says what a backup has.
type Manifest struct {
	Version    int       `json:"version"`
	ID         string    `json:"id"`
	Release    string    `json:"release"`
	Begun      time.Time `json:"begun"`
	Ended      time.Time `json:"ended"`
	Records    int       `json:"records"` // version of their form
	Partitions int       `json:"partitions"`
	Epoch      string    `json:"epoch"` // of the installation
	Place      string    `json:"place"` // of its blobs
	Inputs     string    `json:"inputs"`
	Counts     Counts    `json:"counts"`
	Parts      []Part    `json:"parts"`
	SHA256     string    `json:"sha256"` // of this text, while this is ""
}

// Counts tells how much there is.
type Counts struct {
	Jobs      int64 `json:"jobs"`
	Schedules int64 `json:"schedules"`
	Batches   int64 `json:"batches"`
	Limits    int64 `json:"limits"`
	Access    int64 `json:"access"` // keys, people and what leads to them
	Functions int64 `json:"functions"`
	Pauses    int64 `json:"pauses"`
	Files     int64 `json:"files"` // copied, into the backup or to another name
	Bytes     int64 `json:"bytes"` // of them

	// Left out.
	Uploads int64 `json:"uploads_left_out"` // were being received
	Damaged int64 `json:"damaged_left_out"` // records that can't be read
	Missing int64 `json:"files_missing"`    // of jobs that go along without them
}

// A Part is one file of lines.
type Part struct {
	Name   string `json:"name"`
	Lines  int64  `json:"lines"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

const manifestName = "manifest.json"

// text is the manifest as it is written, with its checksum.
func (m Manifest) text() ([]byte, error) {
	m.SHA256 = ""
	body, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	m.SHA256 = hex.EncodeToString(sum[:])
	body, err = json.MarshalIndent(m, "", "  ")
	return append(body, '\n'), err
}

// write puts the manifest into its place in one step.
func (m Manifest) write(dir string) error {
	text, err := m.text()
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, manifestName+".tmp")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, manifestName)); err != nil {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes names durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ReadManifest reads a folder's manifest. Errors: ErrNone, ErrChanged, ErrNewer.
func ReadManifest(dir string) (m Manifest, err error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return m, fmt.Errorf("%w in %s: it has no %s, which is written when all else is", ErrNone, dir, manifestName)
	}
	if err != nil {
		return m, err
	}
	var is struct {
		Version int `json:"version"`
		Records int `json:"records"`
	}
	if json.Unmarshal(text, &is) == nil &&
		(is.Version > version || is.Version == version && is.Records != jobstore.Format) {
		return m, fmt.Errorf("%w: form %d with records of form %d, and this one reads form %d with records of form %d",
			ErrNewer, is.Version, is.Records, version, jobstore.Format)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%w: %s: %w", ErrChanged, manifestName, err)
	}
	if again, err := m.text(); err != nil || !bytes.Equal(again, text) {
		return m, fmt.Errorf("%w: %s is not as it was written", ErrChanged, manifestName)
	}
	return m, nil
}

// A line of a room.
type entry struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Parts by their names.
const (
	partJobs      = "jobs"
	partAfter     = "after"
	partBatches   = "batches"
	partFiles     = "files"
	partSchedules = "schedules"
	partLimits    = "limits"
	partAccess    = "access"
	partFunctions = "functions"
	partPauses    = "pauses"
	partTypes     = "types" // that are claimed
)

// allParts are those of a backup; the first ones had no types.
var allParts = []string{partJobs, partAfter, partBatches, partFiles, partSchedules, partLimits, partAccess,
	partFunctions, partPauses, partTypes}

func fileOf(part string) string { return part + ".ndjson" }
