#include "worker/http/head.h"

#include <microhttpd.h>
#include <string.h>

static const char first_name[] = "Date";

/* What did not fit any more. */
static void add_alone(struct http_head *head, const char *name, const char *value, size_t counted_bytes)
{
    if (MHD_add_response_header(head->response, name, value) == MHD_YES)
        head->counted_bytes += counted_bytes;
}

void http_head_begin(struct http_head *head, struct MHD_Response *response, const char *date)
{
    size_t length = strlen(date);
    head->response = response;
    head->lines = 0;
    head->is_split = false;
    memcpy(head->text, date, length + 1);
    head->length = length;
    head->counted_bytes = sizeof first_name - 1 + length;
}

/* Hands over what was gathered, then puts the line ends into libmicrohttpd's copy of it.
 *
 * That writes through a pointer which libmicrohttpd lends as const. It has no function that takes a value with line ends in it, or a
 * head that is whole already; and whoever put them in as late as in wire.c would have to look for their places in all that is sent.
 * It is sound C: the copy is memory from malloc(), of this response alone, which no other thread knows yet, and its length stays.
 * Should another version lend something else than the copy that it sends, tests/unit/http/test_reply.c finds blanks for line ends. */
static void give(struct http_head *head)
{
    head->is_split = true;
    if (MHD_add_response_header(head->response, first_name, head->text) != MHD_YES) {
        head->counted_bytes = 0;
        return;
    }
    char *copy = (char *)(uintptr_t)MHD_get_response_header(head->response, first_name);
    for (size_t i = 0; i < head->lines; i++) {
        copy[head->line_end_at[i]] = '\r';
        copy[head->line_end_at[i] + 1] = '\n';
    }
}

void http_head_add(struct http_head *head, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    size_t name_length = strlen(name), value_length = strcspn(value, "\r\n");
    if (value[value_length] != '\0')
        return;
    size_t needed_bytes = 2 + name_length + 2 + value_length + 1;
    if (!head->is_split &&
        (sizeof head->text - head->length < needed_bytes || head->lines == HTTP_HEAD_MOST_LINES))
        give(head); /* the order stays */
    if (head->is_split) {
        add_alone(head, name, value, name_length + value_length);
        return;
    }
    char *to = head->text + head->length;
    head->line_end_at[head->lines++] = (uint16_t)head->length;
    to = mempcpy(mempcpy(to, "  ", 2), name, name_length);
    to = mempcpy(mempcpy(to, ": ", 2), value, value_length);
    *to = '\0';
    head->length += needed_bytes - 1;
    head->counted_bytes += name_length + value_length;
}

uint64_t http_head_end(struct http_head *head)
{
    if (!head->is_split)
        give(head);
    return head->counted_bytes;
}
