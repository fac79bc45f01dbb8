package stream_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/stream"
)

// The check values of RFC 1321, FIPS 180, the CRC catalogue and xxHash.
func TestDigests(t *testing.T) {
	t.Parallel()
	tests := map[string]map[string]string{
		"": {
			"md5": "d41d8cd98f00b204e9800998ecf8427e", "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
			"sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			"sha512": "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
			"crc32":  "00000000", "crc32c": "00000000", "xxh64": "ef46db3751d8e999",
		},
		"123456789": {"crc32": "cbf43926", "crc32c": "e3069283", "md5": "25f9e794323b453885f5181f1b624d0b"},
		"abc": {
			"sha1":   "a9993e364706816aba3e25717850c26c9cd0d89d",
			"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
			"xxh64":  "44bc2cf5ad770999",
		},
	}
	for in, want := range tests {
		var names []string
		for name := range want {
			names = append(names, name, name)
		}
		d, err := stream.NewDigests(names...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Write([]byte(in)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, d.Sums()); diff != "" {
			t.Errorf("%q (-want +got)\n%s", in, diff)
		}
	}
}

// Long writes are shared out to goroutines.
func TestDigestsOfLongWrites(t *testing.T) {
	t.Parallel()
	data := text(8, 1<<20)
	whole, err := stream.NewDigests("sha256", "md5", "crc32c", "xxh64")
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := stream.NewDigests("sha256", "md5", "crc32c", "xxh64")
	if err != nil {
		t.Fatal(err)
	}
	whole.Write(data)
	for piece := range bytes.Lines(data) {
		pieces.Write(piece)
	}
	if diff := cmp.Diff(pieces.Sums(), whole.Sums()); diff != "" {
		t.Errorf("in pieces, whole:\n%s", diff)
	}
	sum := sha256.Sum256(data)
	if got := whole.Sums()["sha256"]; got != hex.EncodeToString(sum[:]) || whole.N() != int64(len(data)) {
		t.Errorf("sha256 %s of %d bytes", got, whole.N())
	}
}

func TestUnknownDigest(t *testing.T) {
	t.Parallel()
	if _, err := stream.NewDigests("sha256", "sha3"); err == nil {
		t.Error("no error for an unknown algorithm")
	}
}
