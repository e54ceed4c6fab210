#include "cache/http_call.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#define CONNECT_MS      10000L
#define HEAD_MOST_BYTES 65536u
/* Less than that is no movement: or a byte now and then would hold whoever waits for ever. */
#define MOVES_BYTES 16384u

enum rc http_prepare(struct err *err)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    return code == CURLE_OK
               ? RC_OK
               : err_set(err, RC_NO_MEMORY, "libcurl cannot start: %s", curl_easy_strerror(code));
}

static const char *whom_of(const struct http_call *call)
{
    return call->whom != NULL ? call->whom : "the origin";
}

/* ---- what libcurl tells a call ---- */

/* So much more has gone one way or the other. */
static void note_moved(struct http_call *call, size_t bytes)
{
    call->moved_bytes += bytes;
    if (call->moved_bytes < MOVES_BYTES)
        return;
    call->moved_bytes = 0;
    call->progress_ms = clock_monotonic_ms();
}

static void give_head(struct http_call *call)
{
    if (call->head_given)
        return;
    call->head_given = true;
    call->moved_bytes = 0;
    call->progress_ms = clock_monotonic_ms();
    if (call->head_came != NULL)
        call->rc = call->head_came(call, &call->err);
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct http_call *call = context;
    call->head_bytes += size * count;
    if (call->head_bytes > HEAD_MOST_BYTES && call->rc == RC_OK)
        call->rc = err_set(&call->err, RC_ORIGIN, "the head of the answer of %.100s has no end",
                           whom_of(call));
    http_answer_line(&call->answer, data, size * count);
    if (call->rc == RC_OK && (data[0] == '\r' || data[0] == '\n') &&
        call->answer.status >= 200) /* the head's end */
        give_head(call);
    return call->rc == RC_OK ? size * count : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct http_call *call = context;
    give_head(call);
    note_moved(call, size * count);
    if (call->rc == RC_OK && call->body_came != NULL)
        call->rc = call->body_came(call, data, size * count, &call->err);
    return call->rc == RC_OK ? size * count : 0;
}

/* The very address that is going to be connected to, so there is no time between the check and the connection. */
static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_call *call = context;
    if (purpose != CURLSOCKTYPE_IPCXN)
        return CURL_SOCKET_BAD;
    if (call->allows != NULL && !call->allows(call, &address->addr)) {
        call->refused_address = true;
        return CURL_SOCKET_BAD;
    }
    call->refused_address = false;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    struct http_call *call = context;
    (void)down_total;
    (void)down;
    (void)up_total;
    if (up > call->sent_bytes) {
        note_moved(call, (size_t)(up - call->sent_bytes));
        call->sent_bytes = up;
        if ((size_t)up == call->body_length) /* what is waited for from now on is the answer */
            call->progress_ms = clock_monotonic_ms();
    }
    return call->stall_ms > 0 && clock_monotonic_ms() - call->progress_ms > call->stall_ms;
}

static bool set_headers(struct http_call *call)
{
    struct curl_slist *lines = NULL;
    if (call->body != NULL) /* a body goes at once, not after an interim answer */
        lines = curl_slist_append(NULL, "Expect:");
    const char *at = (const char *)call->headers.data, *end = at != NULL ? at + call->headers.length : NULL;
    for (; at < end; at += strlen(at) + 1) {
        struct curl_slist *longer = curl_slist_append(lines, at);
        if (longer == NULL) {
            curl_slist_free_all(lines);
            return false;
        }
        lines = longer;
    }
    call->lines = lines;
    return true;
}

enum rc http_call_begin(struct http_call *call, struct err *err)
{
    CURL *easy = curl_easy_init();
    if (easy == NULL || !set_headers(call)) {
        curl_easy_cleanup(easy);
        return err_set(err, RC_NO_MEMORY, "no memory for a request to the origin");
    }
    call->easy = easy;
    call->rc = RC_OK;
    call->err.rc = RC_OK;
    call->head_given = call->refused_address = false;
    call->answer = (struct http_answer){.status = 0};
    call->progress_ms = clock_monotonic_ms();
    call->moved_bytes = call->head_bytes = 0;
    call->sent_bytes = 0;
    bool sends = call->body != NULL;
    curl_easy_setopt(easy, CURLOPT_URL, call->url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     call->stall_ms > 0 && call->stall_ms < CONNECT_MS ? (long)call->stall_ms : CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->lines);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, call);
    if (strcmp(call->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (sends) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body_length > 0 ? call->body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_length);
    }
    if (sends || strcmp(call->method, "DELETE") == 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
    return RC_OK;
}

/* Why nothing came, or not all. */
static enum rc failed(const struct http_call *call, CURLcode code, struct err *err)
{
    const char *whom = whom_of(call);
    if (call->refused_address)
        return err_set(err, RC_FORBIDDEN,
                       "the address of %.100s is in a network that is not allowed (http_networks)", whom);
    if (code == CURLE_OPERATION_TIMEDOUT || code == CURLE_ABORTED_BY_CALLBACK)
        return err_set(err, RC_LATE, "%.100s did not answer in time", whom);
    if (code == CURLE_OUT_OF_MEMORY)
        return err_set(err, RC_NO_MEMORY, "no memory for a request to the origin");
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return err_set(err, RC_ORIGIN,
                       "the certificate of %.100s is not valid for its name, or nobody whom this system "
                       "trusts vouches for it",
                       whom);
    if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR)
        return err_set(err, RC_ORIGIN, "%.100s breaks off in the middle of its answer", whom);
    return err_set(err, RC_ORIGIN, "%.100s cannot be read: %s", whom, curl_easy_strerror(code));
}

enum rc http_call_outcome(struct http_call *call, int code, struct err *err)
{
    if (code == CURLE_OK)
        give_head(call);
    if (call->rc != RC_OK) {
        *err = call->err;
        return call->rc;
    }
    char *redirect = NULL;
    curl_easy_getinfo(call->easy, CURLINFO_REDIRECT_URL, &redirect);
    if (redirect != NULL)
        call->redirect = strdup(redirect);
    return code == CURLE_OK ? RC_OK : failed(call, (CURLcode)code, err);
}

void http_call_release(struct http_call *call)
{
    curl_slist_free_all(call->lines);
    curl_easy_cleanup(call->easy);
    call->lines = call->easy = NULL;
}

void http_call_done(struct http_call *call)
{
    free(call->redirect);
    call->redirect = NULL;
    bytes_done(&call->headers);
}

enum rc http_call_now(struct http_call *call, struct err *err)
{
    enum rc rc = http_call_begin(call, err);
    if (rc != RC_OK)
        return rc;
    rc = http_call_outcome(call, (int)curl_easy_perform(call->easy), err);
    http_call_release(call);
    return rc;
}

/* ---- URLs ---- */

bool http_url_parts(const char *url, char *ret_host, size_t capacity, uint16_t *ret_port, bool *ret_secure)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL, *password = NULL;
    bool good = parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
                curl_url_get(parts, CURLUPART_PASSWORD, &password, 0) == CURLUE_NO_PASSWORD &&
                (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
    if (good) {
        size_t length = strlen(host);
        bool bracketed = length > 2 && host[0] == '[';
        *ret_secure = strcasecmp(scheme, "https") == 0;
        *ret_port = (uint16_t)strtoul(port, NULL, 10);
        good = snprintf(ret_host, capacity, "%.*s", (int)(bracketed ? length - 2 : length),
                        host + bracketed) < (int)capacity;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(parts);
    return good;
}
