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

/* How often `length` fits into *left, at most `most` times: what remains is left. */
static unsigned take(unsigned *left, unsigned length, unsigned most)
{
    unsigned count = *left / length < most ? *left / length : most;
    *left -= count * length;
    return count;
}

/* Without strftime() and gmtime_r(), which take a microsecond and a quarter: every answer has two dates.
 * Years begin with March here, so that the day which not all of them have is their last. */
void clock_http_date(time_t when, char ret_text[CLOCK_HTTP_DATE_BYTES])
{
    static const uint8_t month_days[] = {31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29};
    if (when < 0 || when > 253402300799 /* the end of the year 9999 */)
        when = 0;
    unsigned day = (unsigned)(when / 86400), second = (unsigned)(when % 86400), month = 0;
    unsigned left = day + 719468; /* since the first of March of the year 0 */
    unsigned year = 400 * take(&left, 146097, UINT32_MAX);
    year += 100 * take(&left, 36524, 3);
    year += 4 * take(&left, 1461, 24);
    year += take(&left, 365, 3);
    for (; left >= month_days[month]; month++)
        left -= month_days[month];
    char *to = mempcpy(ret_text, &"ThuFriSatSunMonTueWed"[day % 7 * 3], 3);
    to = digits_padded(mempcpy(to, ", ", 2), left + 1, 2);
    *to++ = ' ';
    to = mempcpy(to, &"MarAprMayJunJulAugSepOctNovDecJanFeb"[month * 3], 3);
    *to++ = ' ';
    to = digits_padded(to, year + (month >= 10), 4);
    *to++ = ' ';
    to = digits_padded(to, second / 3600, 2);
    *to++ = ':';
    to = digits_padded(to, second / 60 % 60, 2);
    *to++ = ':';
    to = digits_padded(to, second % 60, 2);
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
