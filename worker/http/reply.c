#include "worker/http/reply.h"

#include "base/clock.h"
#include "base/own.h"
#include "worker/http/conditional.h"
#include "worker/http/exchange.h"
#include "worker/http/head.h"
#include "worker/http/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char text_plain[] = "text/plain; charset=utf-8";

/* ---- headers ---- */

static const char *date_text(time_t date)
{
    static _Thread_local time_t written;
    static _Thread_local char text[CLOCK_HTTP_DATE_BYTES];
    if (date != written || text[0] == '\0') {
        clock_http_date(date, text);
        written = date;
    }
    return text;
}

/* What every answer says. */
static void begin_head(struct http_head *head, struct MHD_Response *response, struct http_exchange *exchange)
{
    http_head_begin(head, response, date_text(exchange->date_s));
    http_head_add(head, "Server", "Vitrine");
    if (exchange->connection->server->options.trusted_proxies != NULL)
        http_head_add(head, "X-Request-Id", http_exchange_given_id(exchange));
    http_head_add(head, "Access-Control-Allow-Origin", "*");
    http_head_add(
        head, "Access-Control-Expose-Headers",
        "Accept-Ranges, Content-Length, Content-Range, ETag, Link, Location, Retry-After, X-Request-Id");
}

static void add_all(struct http_head *head, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        http_head_add(head, headers[i].name, headers[i].value);
}

/* What 200, 206 and 304 say alike. */
static void add_validators(struct http_head *head, struct http_exchange *exchange,
                           const struct http_representation *representation)
{
    char date[CLOCK_HTTP_DATE_BYTES];
    http_head_add(head, "ETag", representation->etag);
    if (representation->etag != NULL)
        exchange->etag = arena_text(exchange->arena, representation->etag, strlen(representation->etag));
    if (representation->last_modified != 0) {
        clock_http_date(representation->last_modified, date);
        http_head_add(head, "Last-Modified", date);
    }
    http_head_add(head, "Cache-Control", representation->cache_control);
    http_head_add(head, "Vary", representation->vary);
}

/* ---- whole answers ---- */

bool http_reply_is_not_modified(struct http_exchange *exchange,
                                const struct http_representation *representation)
{
    if (exchange->method != HTTP_GET && exchange->method != HTTP_HEAD)
        return false;
    return http_conditional_is_current(http_exchange_header(exchange, "If-None-Match"),
                                       http_exchange_header(exchange, "If-Modified-Since"),
                                       representation->etag, representation->last_modified);
}

void http_reply_not_modified(struct http_exchange *exchange, const struct http_representation *representation)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response != NULL) {
        struct http_head head;
        begin_head(&head, response, exchange);
        add_validators(&head, exchange, representation);
        exchange->head_bytes = http_head_end(&head);
    }
    http_exchange_answer(exchange, 304, response, 0);
}

static void reply_outside(struct http_exchange *exchange, uint64_t size_bytes)
{
    char range[40], text[96];
    snprintf(range, sizeof range, "bytes */%" PRIu64, size_bytes);
    snprintf(text, sizeof text, "The range asked for lies outside the %" PRIu64 " bytes there are.\n",
             size_bytes);
    const struct http_header headers[] = {{"Content-Range", range}, {"Cache-Control", "no-store"}};
    http_reply_text(exchange, 416, text_plain, text, headers, 2);
}

void http_content_release(const struct http_content *content)
{
    if (content->data == NULL)
        own_close(&content->fd);
    else if (content->release != NULL)
        content->release(content->context);
}

static void release_nothing(void *context)
{
    (void)context;
}

/* The part first..last of the content, which the response takes over. NULL when memory is out; the content is then
 * released. */
static struct MHD_Response *make_part(const struct http_content *content, uint64_t first, uint64_t last)
{
    struct MHD_Response *response = NULL;
    if (content->length == 0) {
        http_content_release(content);
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    }
    if (content->data == NULL)
        response = MHD_create_response_from_fd_at_offset64(last - first + 1, content->fd,
                                                           content->offset + first);
    else /* MHD writes nowhere in it; its parameter merely lacks the const */
        response = MHD_create_response_from_buffer_with_free_callback_cls(
            (size_t)(last - first + 1), (void *)(uintptr_t)(content->data + first),
            content->release != NULL ? content->release : release_nothing, content->context);
    if (response == NULL)
        http_content_release(content);
    return response;
}

/* What 200 and 206 say of an image. */
static void add_representation(struct MHD_Response *response, struct http_exchange *exchange,
                               const struct http_representation *representation, const char *content_range)
{
    struct http_head head;
    begin_head(&head, response, exchange);
    http_head_add(&head, "Content-Type", representation->media_type);
    add_validators(&head, exchange, representation);
    add_all(&head, representation->header, representation->header_count);
    http_head_add(&head, "Accept-Ranges", "bytes");
    http_head_add(&head, "Content-Range", content_range);
    exchange->head_bytes = http_head_end(&head);
}

void http_reply_content(struct http_exchange *exchange, const struct http_representation *representation,
                        const struct http_content *content)
{
    uint64_t size_bytes = content->length, first = 0, last = size_bytes - 1;
    enum http_range range = HTTP_RANGE_ALL;
    char part[80] = "";
    if (exchange->method == HTTP_GET &&
        http_conditional_allows_range(http_exchange_header(exchange, "If-Range"), representation->etag))
        range = http_conditional_range(http_exchange_header(exchange, "Range"), size_bytes, &first, &last);
    if (range == HTTP_RANGE_OUTSIDE) {
        http_content_release(content);
        reply_outside(exchange, size_bytes);
        return;
    }
    struct MHD_Response *response = make_part(content, first, last);
    if (range == HTTP_RANGE_PART)
        snprintf(part, sizeof part, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last, size_bytes);
    if (response != NULL)
        add_representation(response, exchange, representation, part);
    http_exchange_answer(exchange, range == HTTP_RANGE_PART ? 206 : 200, response, last + 1 - first);
}

void http_reply_body(struct http_exchange *exchange, const struct http_representation *representation,
                     struct bytes *body)
{
    const struct http_content content = {
        .length = body->length, .data = body->data, .fd = -1, .release = free, .context = body->data};
    *body = (struct bytes){0};
    http_reply_content(exchange, representation, &content);
}

/* A chunk is made in MHD's memory of the connection, beside the request's header. */
#define MOST_HEADER_BYTES 4096u

enum http_reply_way http_reply_way(struct http_exchange *exchange,
                                   const struct http_representation *representation)
{
    switch (http_wire_framing(&exchange->connection->wire)) {
    case SHM_JOURNAL_SIZED:
        return HTTP_REPLY_WHOLE;
    case SHM_JOURNAL_STREAMED:
        return HTTP_REPLY_STREAMED;
    case SHM_JOURNAL_UNFRAMED:
        break;
    }
    bool is_part = http_exchange_header(exchange, "Range") != NULL &&
                   http_conditional_allows_range(http_exchange_header(exchange, "If-Range"),
                                                 representation->etag);
    return is_part || exchange->request_bytes > MOST_HEADER_BYTES ? HTTP_REPLY_WHOLE : HTTP_REPLY_EITHER;
}

enum rc http_reply_stream(struct http_exchange *exchange, const struct http_representation *representation,
                          struct http_stream **ret_stream, struct err *err)
{
    struct http_stream *stream = http_stream_new(exchange);
    struct MHD_Response *response = stream == NULL
                                        ? NULL
                                        : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
                                                                            HTTP_STREAM_CHUNK_BYTES,
                                                                            http_stream_send, stream, NULL);
    if (response == NULL) {
        if (stream != NULL)
            http_stream_free(stream);
        return err_set(err, RC_NO_MEMORY, "the server is out of memory, please try again");
    }
    add_representation(response, exchange, representation, NULL);
    *ret_stream = stream;
    exchange->stream = stream;
    http_exchange_answer(exchange, 200, response, UINT64_MAX);
    return RC_OK;
}

static ssize_t send_nothing(void *context, uint64_t position, char *to, size_t room_bytes)
{
    (void)context;
    (void)position;
    (void)to;
    (void)room_bytes;
    return MHD_CONTENT_READER_END_OF_STREAM;
}

/* As to an HTTP/1.0 client: Transfer-Encoding may be left out (RFC 9110 §9.3.2), and with it MHD 0.9.75 would send the last
 * chunk of a body that there is none of. The price is that the connection ends. */
void http_reply_stream_head(struct http_exchange *exchange, const struct http_representation *representation)
{
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, send_nothing,
                                                                      NULL, NULL);
    if (response != NULL) {
        MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
        add_representation(response, exchange, representation, NULL);
    }
    http_exchange_answer(exchange, 200, response, UINT64_MAX);
}

void http_reply_text(struct http_exchange *exchange, unsigned status, const char *media_type,
                     const char *text, const struct http_header *headers, size_t header_count)
{
    size_t length = media_type == NULL ? 0 : strlen(text);
    /* MHD copies the text and writes to neither; its parameter merely lacks the const. */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        length, length == 0 ? NULL : (void *)(uintptr_t)text,
        length == 0 ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_COPY);
    if (response != NULL) {
        struct http_head head;
        begin_head(&head, response, exchange);
        if ((status >= 400 || exchange->connection->listener == HTTP_ADMIN) &&
            http_exchange_given_id(exchange) == NULL)
            http_head_add(&head, "X-Request-Id", http_exchange_request_id(exchange));
        if (media_type != NULL) {
            http_head_add(&head, "Content-Type", media_type);
            http_head_add(&head, "X-Content-Type-Options", "nosniff"); /* errors repeat parts of the URL */
        }
        add_all(&head, headers, header_count);
        exchange->head_bytes = http_head_end(&head);
    }
    http_exchange_answer(exchange, status, response, length);
}

void http_reply_error_later(struct http_exchange *exchange, const struct err *err, uint32_t retry_after_s)
{
    unsigned status = http_status_of(err->rc);
    char text[sizeof err->message + 3], seconds[12];
    snprintf(text, sizeof text, "%s.\n", err->message);
    snprintf(seconds, sizeof seconds, "%u", retry_after_s < 1 ? 1 : retry_after_s > 60 ? 60 : retry_after_s);
    const struct http_header headers[] = {{"Cache-Control", "no-store"}, {"Retry-After", seconds}};
    http_reply_text(exchange, status, text_plain, text, headers, status == 503 || status == 429 ? 2 : 1);
}

void http_reply_error(struct http_exchange *exchange, const struct err *err)
{
    http_reply_error_later(exchange, err, 1);
}

void http_reply_options(struct http_exchange *exchange)
{
    static const struct http_header headers[] = {
        {"Allow", "GET, HEAD, OPTIONS"},
        {"Access-Control-Allow-Methods", "GET, HEAD, OPTIONS"},
        /* "*" does not cover Authorization, and old browsers do not know it */
        {"Access-Control-Allow-Headers",
         "*, Accept, Authorization, Content-Type, If-Modified-Since, If-None-Match, If-Range, Range"},
        {"Access-Control-Max-Age", "86400"},
    };
    http_reply_text(exchange, 204, NULL, NULL, headers, sizeof headers / sizeof headers[0]);
}
