#include "base/log.h"

#include "base/clock.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024

static char log_role[32] = "vitrine";
static enum log_level log_most = LOG_LEVEL_INFO;
static bool log_is_journal;
static int log_syslog_fd = -1;
static char log_syslog_path[sizeof((struct sockaddr_un){0}.sun_path)];
static atomic_uint log_lost;
static void (*log_other)(enum log_level level, const char *request, const char *text, void *context);
static void *log_other_context;
static _Thread_local const char *(*log_name)(void *context);
static _Thread_local void *log_name_context;

/* sd-daemon(3): the journal names the stream that it reads by device and inode. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    char text[64];
    if (stream == NULL || fstat(STDERR_FILENO, &status) < 0)
        return false;
    snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    return strcmp(stream, text) == 0;
}

void log_init(const char *role, enum log_level most)
{
    snprintf(log_role, sizeof log_role, "%s", role);
    log_most = most;
    log_is_journal = is_journal();
}

void log_to_syslog(int fd, const char *path)
{
    log_syslog_fd = fd;
    snprintf(log_syslog_path, sizeof log_syslog_path, "%s", fd >= 0 ? path : "");
}

void log_tap(void (*tap)(enum log_level level, const char *request, const char *text, void *context),
             void *context)
{
    log_other = tap;
    log_other_context = context;
}

void log_request(const char *(*name)(void *context), void *context)
{
    log_name = name;
    log_name_context = context;
}

/* syslog's and the journal's numbers. */
static int priority_of(enum log_level level)
{
    static const int priority[] = {3, 4, 6, 7};
    return priority[level];
}

/* What stands before the text: as much as the receiver does not know by itself. */
static size_t write_head(char line[LINE_BYTES], enum log_level level)
{
    static const char *const name[] = {"error", "warning", "info", "debug"};
    struct timespec now;
    struct tm tm;
    if (log_syslog_fd >= 0)
        return (size_t)snprintf(line, LINE_BYTES, "%s: ", log_role);
    if (log_is_journal)
        return (size_t)snprintf(line, LINE_BYTES, "<%d>%s[%d]: ", priority_of(level), log_role,
                                (int)getpid());
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t length = strftime(line, LINE_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
    return length + (size_t)snprintf(line + length, LINE_BYTES - length,
                                     ".%03dZ %s[%d] %s: ", (int)(now.tv_nsec / 1000000), log_role,
                                     (int)getpid(), name[level]);
}

bool log_syslog_send(int fd, const char *path, int priority, const char *text, bool waits)
{
    char line[LINE_BYTES * 4];
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    int length = snprintf(line, sizeof line, "<%d>vitrine[%d]: %s", 3 * 8 + priority, (int)getpid(), text);
    snprintf(where.sun_path, sizeof where.sun_path, "%s", path);
    size_t bytes = length < (int)sizeof line ? (size_t)length : sizeof line - 1;
    return sendto(fd, line, bytes, MSG_NOSIGNAL | (waits ? 0 : MSG_DONTWAIT), (const struct sockaddr *)&where,
                  sizeof where) >= 0;
}

/* Files always have room or fail at once. A pipe that says it has room has some for a whole line. */
static bool send_line(const char *line, size_t length, enum log_level level)
{
    if (log_syslog_fd >= 0)
        return log_syslog_send(log_syslog_fd, log_syslog_path, priority_of(level), line, false);
    struct pollfd wait = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&wait, 1, 0) == 0)
        return false;
    return write(STDERR_FILENO, line, length) == (ssize_t)length;
}

static void send_or_count(char *line, size_t length, enum log_level level)
{
    unsigned lost = atomic_exchange_explicit(&log_lost, 0, memory_order_relaxed);
    if (lost > 0) {
        char note[LINE_BYTES];
        size_t head = write_head(note, LOG_LEVEL_WARNING);
        int more = snprintf(note + head, sizeof note - head, "%u lines of this log were lost\n", lost);
        if (!send_line(note, head + (size_t)more, LOG_LEVEL_WARNING)) {
            atomic_fetch_add_explicit(&log_lost, lost + 1, memory_order_relaxed);
            return;
        }
    }
    if (!send_line(line, length, level))
        atomic_fetch_add_explicit(&log_lost, 1, memory_order_relaxed);
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level > log_most)
        return;
    char line[LINE_BYTES];
    size_t length = write_head(line, level);
    const char *request = log_name != NULL ? log_name(log_name_context) : "";
    if (request[0] != '\0')
        length += (size_t)snprintf(line + length, sizeof line - length, "[%.72s] ", request);
    size_t start = length;
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + length, sizeof line - length - 1, format, args);
    va_end(args);
    if (more > 0)
        length += (size_t)more < sizeof line - length - 2 ? (size_t)more : sizeof line - length - 2;
    for (size_t i = start; i < length; i++) /* one event, one line, whatever was in the URL */
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f ||
            ((unsigned char)line[i] == 0xc2 && (unsigned char)line[i + 1] >= 0x80 &&
             (unsigned char)line[i + 1] < 0xa0))
            line[i] = '?';
    line[length] = '\0';
    if (log_other != NULL && level <= LOG_LEVEL_WARNING)
        log_other(level, request, line + start, log_other_context);
    if (log_syslog_fd < 0)
        line[length++] = '\n';
    send_or_count(line, length, level);
}

bool log_may_say(struct log_pause *pause, int64_t every_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t said_ms = atomic_load_explicit(&pause->said_ms, memory_order_relaxed);
    if (said_ms != 0 && now_ms - said_ms < every_ms)
        return false;
    return atomic_compare_exchange_strong_explicit(&pause->said_ms, &said_ms, now_ms, memory_order_relaxed,
                                                   memory_order_relaxed);
}
