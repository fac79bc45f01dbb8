package handlers_test

import (
	"bytes"
	"errors"
	"image/gif"
	"testing"

	"longshore/handlers"
	"longshore/job"
	"longshore/tasks"
)

func catalog(t testing.TB) *tasks.Catalog {
	t.Helper()
	infos, err := tasks.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	c, err := tasks.NewCatalog(infos...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func failureCode(err error) job.Code {
	var failure *handlers.Failure
	if errors.As(err, &failure) {
		return failure.Code
	}
	return ""
}

// gifOf makes a GIF of an image file.
func gifOf(t testing.TB, file []byte) []byte {
	t.Helper()
	img, _ := decode(t, file)
	var b bytes.Buffer
	if err := gif.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
