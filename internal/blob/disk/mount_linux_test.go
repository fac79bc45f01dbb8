package disk_test

import "syscall"

// mountSmall mounts a file system of 4 MiB in memory.
func mountSmall(folder string) error {
	return syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=4m,mode=0700")
}
