/* The log: one line per event, written with one system call, so that lines of many processes do not mix.
 *
 * It goes to standard error (a file there is the master's doing, master/logs.h), with the time in front; or,
 * where standard error is the systemd journal, with the priority in front ("<4>"); or to a syslog socket. It
 * never waits: a line that a pipe or socket has no room for is lost and counted, and the next one that gets
 * through says how many were.
 *
 * Nothing that comes from outside can forge a line or move a terminal's cursor: control bytes become "?".
 *
 * Only those log who know what happened and do not pass it on: the master, what runs a worker or a request,
 * threads of their own, and whoever serves visitors in spite of a failure (cache/, the index). Others return
 * struct err. Any thread; safe after fork. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

#define LOG_SYSLOG_PATH "/dev/log"

/* `role` names the process in each line ("master", "worker 2"); kept as a copy. Call once per process. */
void log_init(const char *role, enum log_level most);
/* From now on to the syslog socket at `path` (kept as a copy), by way of `fd`, an unconnected datagram socket
 * that stays the caller's: whoever listens there may come and go. -1: standard error again. */
void log_to_syslog(int fd, const char *path);

/* Who else is told of errors and warnings, with the request that the calling thread works on ("" for none).
 * May be set once, before there are threads; NULL: nobody. */
void log_tap(void (*tap)(enum log_level level, const char *request, const char *text, void *context),
             void *context);
/* The request that the calling thread works on, for its lines: what name(context) says when there is one to
 * write. NULL: none. */
void log_request(const char *(*name)(void *context), void *context);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line that any number of requests may give cause for is said now and then only. Any thread; zero at
 * first. */
struct log_pause {
    _Atomic int64_t said_ms; /* on the monotonic clock; 0: never */
};
/* True: the caller may write the line; for the next `every_ms` nobody else may who asks with this pause. */
bool log_may_say(struct log_pause *pause, int64_t every_ms);

/* Sends one line to a syslog socket, `<priority>vitrine[pid]: ` in front; waits for room if `waits`. False:
 * it is lost. */
bool log_syslog_send(int fd, const char *path, int priority, const char *text, bool waits);

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
