// What a chaos run preloads into redis-server.
//
// With CHAOS_CLOCK its clock is off by the milliseconds that this file holds.
//
// With CHAOS_SYNCED it tells in this folder, beside each append-only file how much of it is on disk for sure: its size
// when an fsync of it began that has ended since. A chaos run takes away the rest, as a
// machine without power would.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int tell(int fd, const char *call) {
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
	struct stat s;
	int known = fstat(fd, &s) == 0;
	int result = real(fd);
	char link[64], path[1024], note[1200], text[32];
	const char *folder = getenv("CHAOS_SYNCED");
	if (result != 0 || !known || !folder) return result;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n <= 0) return result;
	path[n] = 0;
	const char *name = strrchr(path, '/');
	if (!name || !strstr(name, ".incr.aof")) return result;
	snprintf(note, sizeof note, "%s/synced-%s", folder, name + 1);
	int out = open(note, O_WRONLY | O_CREAT, 0600);
	if (out < 0) return result;
	int len = snprintf(text, sizeof text, "%-20lld\n", (long long)s.st_size);
	if (pwrite(out, text, len, 0) != len) _exit(70);
	close(out);
	return result;
}

int fsync(int fd) { return tell(fd, "fsync"); }
int fdatasync(int fd) { return tell(fd, "fdatasync"); }

// off reads by how much the clock is off, in nanoseconds. It calls nothing that asks for the
// time, or allocates: the allocator itself asks for the time while it starts.
static int64_t off(void) {
	static const char *file;
	char text[32];
	if (!file && !(file = getenv("CHAOS_CLOCK"))) return 0;
	int fd = open(file, O_RDONLY);
	if (fd < 0) return 0;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0) return 0;
	text[n] = 0;
	return atoll(text) * 1000000;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
	if (syscall(SYS_clock_gettime, clock, t) != 0) return -1;
	if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) return 0;
	int64_t now = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec + off();
	t->tv_sec = now / 1000000000;
	t->tv_nsec = now % 1000000000;
	return 0;
}

int gettimeofday(struct timeval *t, void *zone) {
	struct timespec s;
	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &s) != 0) return -1;
	t->tv_sec = s.tv_sec;
	t->tv_usec = s.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *t) {
	struct timespec s;
	if (clock_gettime(CLOCK_REALTIME, &s) != 0) return -1;
	if (t) *t = s.tv_sec;
	return s.tv_sec;
}
