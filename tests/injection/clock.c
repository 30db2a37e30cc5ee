/* The clock of one process, as far from the machine's as a file says. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long long *step;

__attribute__((constructor)) static void look(void)
{
	const char *path = getenv("CLOCK_STEP");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map = file < 0 ? MAP_FAILED : mmap(0, sizeof *step, PROT_READ, MAP_SHARED, file, 0);
	if (map != MAP_FAILED)
		step = map;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int failed = syscall(SYS_clock_gettime, clock, time);
	if (!failed && clock == CLOCK_REALTIME && step)
		time->tv_sec += *step;
	return failed;
}
