package sandbox

import "golang.org/x/sys/unix"

const nativeArch = unix.AUDIT_ARCH_AARCH64

// refusedHere are calls that other architectures lack.
var refusedHere = []uint32{unix.SYS_NFSSERVCTL}

// modesHere change modes and times of named files, as other architectures don't.
var modesHere = []uint32(nil)
