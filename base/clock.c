#include "base/clock.h"

#include "base/digits.h"

#include <string.h>

/* strftime and strptime speak English here because nothing in Vitrine calls setlocale(). */

int64_t clock_monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_thread_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool clock_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t end_ms)
{
    const struct timespec end = {.tv_sec = end_ms / 1000, .tv_nsec = end_ms % 1000 * 1000000};
    return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &end) == 0;
}

/* Without strftime(), which takes a microsecond: every answer has two dates. */
void clock_http_date(time_t when, char ret_text[CLOCK_HTTP_DATE_BYTES])
{
    struct tm tm;
    if (when < 0 || when > 253402300799 /* the end of the year 9999 */ || gmtime_r(&when, &tm) == NULL)
        gmtime_r(&(time_t){0}, &tm);
    char *to = mempcpy(ret_text, &"SunMonTueWedThuFriSat"[tm.tm_wday * 3], 3);
    to = digits_padded(mempcpy(to, ", ", 2), (uint32_t)tm.tm_mday, 2);
    *to++ = ' ';
    to = mempcpy(to, &"JanFebMarAprMayJunJulAugSepOctNovDec"[tm.tm_mon * 3], 3);
    *to++ = ' ';
    to = digits_padded(to, (uint32_t)(tm.tm_year + 1900), 4);
    *to++ = ' ';
    to = digits_padded(to, (uint32_t)tm.tm_hour, 2);
    *to++ = ':';
    to = digits_padded(to, (uint32_t)tm.tm_min, 2);
    *to++ = ':';
    to = digits_padded(to, (uint32_t)tm.tm_sec, 2);
    memcpy(to, " GMT", 5);
}

bool clock_parse_http_date(const char *text, time_t *ret_when)
{
    static const char *const form[] = {
        "%a, %d %b %Y %H:%M:%S GMT", /* IMF-fixdate */
        "%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
        "%a %b %e %H:%M:%S %Y",      /* asctime() */
    };
    for (size_t i = 0; i < sizeof form / sizeof form[0]; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, form[i], &tm);
        if (end != NULL && *end == '\0') {
            *ret_when = timegm(&tm);
            return true;
        }
    }
    return false;
}
