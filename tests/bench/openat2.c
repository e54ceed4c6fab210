/* For valgrind, which does not know openat2(2): loaded before libc, this answers syscall(SYS_openat2, ...) with
 * openat(2). The root is no longer enforced, so this is for measuring only. */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

long syscall(long number, ...)
{
    static long (*next)(long, ...);
    if (next == NULL)
        next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    va_list list;
    long argument[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        argument[i] = va_arg(list, long);
    va_end(list);
    if (number != SYS_openat2)
        return next(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
    const struct open_how *how = (const struct open_how *)argument[2];
    return openat((int)argument[0], (const char *)argument[1], (int)how->flags, (mode_t)how->mode);
}
