/* One line of the access log. Pure; any thread.
 *
 *     common    192.0.2.1 - - [21/Nov/2026:09:00:00 +0000] "GET /iiif/... HTTP/1.1" 200 12345
 *     combined  the same and "Referer" "User-Agent"
 *     json      an object with all there is to know; deploy/operation.md lists it
 *
 * What the client has sent cannot leave its field, end the line, or reach a terminal as anything but printable ASCII: quotes and
 * backslashes are escaped, all other bytes become \xHH, in JSON \u00HH. Long fields are cut. */
#ifndef WORKER_ACCESS_LINE_H
#define WORKER_ACCESS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum access_format { ACCESS_COMMON, ACCESS_COMBINED, ACCESS_JSON };

struct access_line {
    int64_t time_ms;                   /* since 1970, of the request's end */
    const char *client;                /* its address */
    const char *method, *target;       /* as sent; NULL: unknown */
    const char *referer, *user_agent;  /* as sent; NULL: not sent */
    const char *id, *class, *protocol; /* ours */
    const char *const *stage_name;     /* of `stage_us`, up to a NULL */
    const uint64_t *stage_us;
    uint64_t sent_bytes, took_us;
    unsigned status;
    bool is_http_1_0, is_whole;
};

#define ACCESS_LINE_MOST_FIELD 1024u /* bytes of a field that the client has sent */
#define ACCESS_LINE_BYTES      28672u

/* Writes the line with its line end and returns its length, below ACCESS_LINE_BYTES. */
size_t access_line_write(enum access_format format, const struct access_line *line,
                         char ret_text[ACCESS_LINE_BYTES]);

#endif
