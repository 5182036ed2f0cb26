// A wall clock that can be moved, for one process: preloaded, it adds the seconds that the file $CHAOS_CLOCK holds (8 bytes, host order).
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile const long long *moved;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *memory = mmap(0, sizeof *moved, PROT_READ, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) moved = memory;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME && moved) time->tv_sec += *moved;
    return result;
}
