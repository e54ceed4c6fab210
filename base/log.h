/* The log: one line per event on standard error, written with one write(), so that lines of many processes do not mix.
 *
 * Only those log who know what happened and will not pass it on: master/, worker/worker.c, worker/request.c and role
 * loops. Library code returns struct err. Any thread; safe after fork. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* `role` names the process in each line ("master", "worker 2"); kept as a copy. Call once per process. */
void log_init(const char *role, enum log_level most);

/* Who else is told of errors and warnings, with the request that the calling thread works on ("" for none). May be set once, before
 * there are threads; NULL: nobody. */
void log_tap(void (*tap)(enum log_level level, const char *request, const char *text, void *context),
             void *context);
/* The request that the calling thread works on, for its lines: `id` is copied; NULL or "": none. */
void log_request(const char *id);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
