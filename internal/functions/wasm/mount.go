package wasm

import (
	experimental "github.com/tetratelabs/wazero/experimental/sys"
)

// unlinked is a folder in which no links can be made: wazero would follow them out of it.
type unlinked struct{ experimental.FS }

// Symlink refuses.
func (unlinked) Symlink(string, string) experimental.Errno { return experimental.EPERM }

// Link refuses.
func (unlinked) Link(string, string) experimental.Errno { return experimental.EPERM }
