/* The header lines of one answer, given to libmicrohttpd all at once.
 *
 * For each header of its own libmicrohttpd takes three pieces of memory, and gives them back one by one: a tenth of what it costs to
 * send a small image from a cache. Here all lines are written into one text, which goes to it as the value of the first of them:
 * "Date: ... CR LF Server: ...". It takes no line ends in a value, so there are blanks in their places until it has made its copy, of
 * which libmicrohttpd 0.9.75 lends the pointer.
 *
 * What is sent, and in which order, is the same as without this. On the stack of whoever makes the answer; a crash leaves nothing. */
#ifndef WORKER_HTTP_HEAD_H
#define WORKER_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Response;

#define HTTP_HEAD_TEXT_BYTES 3072u
#define HTTP_HEAD_MOST_LINES 32u

struct http_head {
    size_t length, lines;
    uint64_t counted_bytes; /* names and values, without what stands between them */
    bool is_split;          /* from here on each header goes by itself */
    struct MHD_Response *response;
    uint16_t line_end_at[HTTP_HEAD_MOST_LINES];
    char text[HTTP_HEAD_TEXT_BYTES];
};

/* `date` is the first line's value. */
void http_head_begin(struct http_head *head, struct MHD_Response *response, const char *date);
/* One more line. Leaves out what is not said (NULL or empty) and a value with line ends in it; names are our own. */
void http_head_add(struct http_head *head, const char *name, const char *value);
/* The response has them all. Returns how long names and values are in sum; where memory was out, those that it has. */
uint64_t http_head_end(struct http_head *head);

#endif
