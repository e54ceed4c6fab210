/* A look at a folder that may hang.
 *
 * A call into a network file system whose server is away can stand still for minutes, and nothing ends it: no signal, and
 * no other thread can do without the one that stands. So a child process looks first, and whoever asks waits for it as long as
 * it cares to. A child that hangs is left behind: it holds nothing, and ends when the file system answers, or with its parent as
 * soon as the kernel lets it.
 *
 * For processes with one thread (it forks): the master, and a worker before it enters its box. */
#ifndef BASE_PROBE_H
#define BASE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* True: the folder has been looked at, whether it is there or not, so that a call into it returns. False: it has not answered in
 * `patience_ms`; then *ret_fd (NULL: nobody cares) is the caller's, and becomes readable when it does. */
bool probe_folder(const char *path, int64_t patience_ms, int *ret_fd);

#endif
