package sandbox

import "path/filepath"

// System returns what a program at this path needs to be read: the system's
// programs and libraries, what the loader asks of /etc, and where the program
// stands outside those its own folder's lib, libexec and share.
func System(program string) []string {
	read := []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store",
		"/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
		"/etc/localtime", "/etc/fonts"}
	if musl, err := filepath.Glob("/etc/ld-musl-*.path"); err == nil {
		read = append(read, musl...)
	}
	if real, err := filepath.EvalSymlinks(program); err == nil {
		program = real
	}
	read = append(read, program)
	if bin := filepath.Dir(program); filepath.Base(bin) == "bin" {
		for _, name := range []string{"lib", "lib64", "libexec", "share"} {
			read = append(read, filepath.Join(filepath.Dir(bin), name))
		}
	}
	return read
}
