/* The wall clock of one host, set off: named in /etc/ld.so.preload there.
 *
 * Linux has no namespace for CLOCK_REALTIME, and the kernel's clock belongs to the whole machine. So this library
 * answers for the C library instead. It reads /etc/upkeep-fleet/clock, two 64-bit numbers: seconds to add, and the
 * state of synchronisation to report (0 what the kernel says, 1 synchronised, 2 not). The file is mapped, so a change
 * is seen at once by every process that began with the library. CLOCK_MONOTONIC stays true: sleeps and timers work.
 * Out of reach: processes begun before, static programs, the kernel's own times (mtime of files).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *setting;

__attribute__((constructor)) static void start(void)
{
    int fd = open("/etc/upkeep-fleet/clock", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    void *at = mmap(0, 2 * sizeof *setting, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        setting = at;
}

static int64_t offset(void) { return setting ? setting[0] : 0; }

static int is_wall(clockid_t which)
{
    return which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE || which == CLOCK_TAI;
}

static int answer(long result)
{
    return result < 0 ? -1 : (int)result;
}

int clock_gettime(clockid_t which, struct timespec *now)
{
    long result = syscall(SYS_clock_gettime, which, now);
    if (result == 0 && is_wall(which))
        now->tv_sec += offset();
    return answer(result);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    long result = syscall(SYS_gettimeofday, now, zone);
    if (result == 0 && now)
        now->tv_sec += offset();
    return answer(result);
}

time_t time(time_t *where)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    now.tv_sec += offset();
    if (where)
        *where = now.tv_sec;
    return now.tv_sec;
}

int timespec_get(struct timespec *now, int base)
{
    if (base != TIME_UTC || clock_gettime(CLOCK_REALTIME, now))
        return 0;
    return base;
}

/* Waiting until a moment of the false clock is waiting until that moment less the offset. Returns the error. */
int clock_nanosleep(clockid_t which, int flags, const struct timespec *wanted, struct timespec *left)
{
    struct timespec real = *wanted;
    if (is_wall(which) && (flags & TIMER_ABSTIME))
        real.tv_sec -= offset();
    return syscall(SYS_clock_nanosleep, which, flags, &real, left) < 0 ? errno : 0;
}

static int synchronisation(struct timex *told, int state)
{
    if (state < 0 || !setting || setting[1] == 0)
        return state;
    if (setting[1] == 1) {
        told->status &= ~STA_UNSYNC;
        told->maxerror = 1000;
        return TIME_OK;
    }
    told->status |= STA_UNSYNC;
    told->maxerror = 16000000;
    return TIME_ERROR;
}

int adjtimex(struct timex *told)
{
    return synchronisation(told, answer(syscall(SYS_adjtimex, told)));
}

int clock_adjtime(clockid_t which, struct timex *told)
{
    return synchronisation(told, answer(syscall(SYS_clock_adjtime, which, told)));
}

int ntp_adjtime(struct timex *told) { return adjtimex(told); }
int __adjtimex(struct timex *told) { return adjtimex(told); }
