#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char log_role[32] = "vitrine";
static enum log_level log_most = LOG_LEVEL_INFO;
static void (*log_other)(enum log_level level, const char *request, const char *text, void *context);
static void *log_other_context;
static _Thread_local char log_id[72];

void log_init(const char *role, enum log_level most)
{
    snprintf(log_role, sizeof log_role, "%s", role);
    log_most = most;
}

void log_tap(void (*tap)(enum log_level level, const char *request, const char *text, void *context),
             void *context)
{
    log_other = tap;
    log_other_context = context;
}

void log_request(const char *id)
{
    snprintf(log_id, sizeof log_id, "%s", id != NULL ? id : "");
}

void log_write(enum log_level level, const char *format, ...)
{
    static const char *const name[] = {"error", "warning", "info", "debug"};
    if (level > log_most)
        return;
    char line[1024];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t length = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    length += (size_t)snprintf(line + length, sizeof line - length,
                               ".%03dZ %s[%d] %s: ", (int)(now.tv_nsec / 1000000), log_role, (int)getpid(),
                               name[level]);
    size_t start = length;
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + length, sizeof line - length - 1, format, args);
    va_end(args);
    if (more > 0)
        length += (size_t)more < sizeof line - length - 2 ? (size_t)more : sizeof line - length - 2;
    for (size_t i = start; i < length; i++) /* one event, one line, whatever was in the URL */
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[length] = '\0';
    if (log_other != NULL && level <= LOG_LEVEL_WARNING)
        log_other(level, log_id, line + start, log_other_context);
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* nowhere left to say so */
}
