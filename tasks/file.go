package tasks

import "longshore/job"

// Checksum is the payload of file.checksum.
type Checksum struct {
	Algorithms []string `json:"algorithms,omitempty" doc:"the digests to compute, all in one pass" enum:"sha256,sha1,sha512,md5,crc32,crc32c,xxh64" default:"sha256" minItems:"1" maxItems:"7" nullable:"false"`
}

// FileChecksum computes digests of a file.
var FileChecksum = Definition[Checksum]{
	Type: "file.checksum", Doc: "Digests of a file, several in one pass.",
	Lane: job.LaneIO, Input: InputRequired,
}

// Compress is the payload of file.compress.
type Compress struct {
	Format string `json:"format,omitempty" doc:"the format to write" enum:"gzip,zstd" default:"gzip"`
	Level  int    `json:"level,omitempty" doc:"1 fastest to 9 smallest; 0 lets the format choose" minimum:"0" maximum:"9" default:"0"`
}

// FileCompress compresses a file.
var FileCompress = Definition[Compress]{
	Type: "file.compress", Doc: "A file compressed with gzip or zstd.",
	Lane: job.LaneIO, Input: InputRequired,
}

// Decompress is the payload of file.decompress.
type Decompress struct {
	Format   string `json:"format,omitempty" doc:"the format to read; auto looks at the first bytes" enum:"auto,gzip,zstd" default:"auto"`
	MaxBytes int64  `json:"max_bytes,omitempty" doc:"the most bytes to write; the installation's own limit (MAX_OUTPUT) holds too" minimum:"1" maximum:"1099511627776" default:"10737418240"`
	MaxRatio int    `json:"max_ratio,omitempty" doc:"the most bytes to write for one read, once 1 MiB was written" minimum:"1" default:"100"`
}

// FileDecompress decompresses a file, within limits against bombs.
var FileDecompress = Definition[Decompress]{
	Type: "file.decompress", Doc: "A gzip or zstd file decompressed, within limits of size and ratio.",
	Lane: job.LaneIO, Input: InputRequired,
}
