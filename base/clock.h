/* Time. Deadlines use the monotonic clock, which does not jump; dates in headers and logs use the wall
 * clock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_HTTP_DATE_BYTES 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and the NUL */

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
int64_t clock_wall_ms(void); /* since 1970 */
/* CPU time of the calling thread. */
int64_t clock_thread_cpu_ns(void);

/* pthread_cond_wait() with an end on the monotonic clock, whatever clock `condition` was made with. False:
 * the end has come. */
bool clock_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t end_ms);

/* The earlier of two deadlines, where 0 means: none. */
static inline int64_t clock_earlier_ms(int64_t a_ms, int64_t b_ms)
{
    return a_ms == 0 || (b_ms != 0 && b_ms < a_ms) ? b_ms : a_ms;
}

/* RFC 9110 §5.6.7, IMF-fixdate. */
void clock_http_date(time_t when, char ret_text[CLOCK_HTTP_DATE_BYTES]);
/* Reads the three forms RFC 9110 obliges a recipient to accept. False when the text is none of them. */
bool clock_parse_http_date(const char *text, time_t *ret_when);

#endif
