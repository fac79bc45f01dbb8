//go:build !linux

package localredis_test

import (
	"testing"

	"longshore/internal/localredis/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }
