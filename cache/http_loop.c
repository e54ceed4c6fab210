#include "cache/http_loop.h"

#include "base/clock.h"
#include "base/own.h"
#include "base/turns.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <curl/curl.h>

#define CONNECT_MS 10000L
#define LOOK_MS    200 /* how often stalls are looked for */
#define IDLE_MS    60000
#define EVENTS     64

struct http_loop {
    CURLM *multi;
    int epoll, wake; /* the second, an eventfd, says that something is to be looked at */
    int64_t timer_ms,
        looked_ms; /* when libcurl wants to be called at the latest, -1 for never; when stalls were looked for */
    pthread_t thread;
    bool running;
    pthread_mutex_t mutex;
    bool cancelled, stopping;
    struct http_call *submitted;        /* under the mutex */
    struct http_call *waiting, *active; /* the thread's */
};

/* ---- one call ---- */

static void give_head(struct http_call *call)
{
    if (call->head_given)
        return;
    call->head_given = true;
    if (call->head_came != NULL)
        call->rc = call->head_came(call, &call->err);
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    struct http_call *call = context;
    call->progress_ms = clock_monotonic_ms();
    http_answer_line(&call->answer, data, size * count);
    if ((data[0] == '\r' || data[0] == '\n') && call->answer.status >= 200) /* the head's end */
        give_head(call);
    return call->rc == RC_OK ? size * count : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct http_call *call = context;
    call->progress_ms = clock_monotonic_ms();
    give_head(call);
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
    if (up > 0 && (size_t)up < call->body_length)
        call->progress_ms = clock_monotonic_ms();
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

static enum rc call_prepare(struct http_call *call, struct err *err)
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
    const char *whom = call->whom != NULL ? call->whom : "the origin";
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

/* What libcurl's end of a call means. */
static enum rc outcome(struct http_call *call, CURLcode code, struct err *err)
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
    return code == CURLE_OK ? RC_OK : failed(call, code, err);
}

static void call_release(struct http_call *call)
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
    enum rc rc = call_prepare(call, err);
    if (rc != RC_OK)
        return rc;
    rc = outcome(call, curl_easy_perform(call->easy), err);
    call_release(call);
    return rc;
}

/* ---- the loop ---- */

static void end_call(struct http_call *call, enum rc rc, const struct err *err)
{
    call_release(call);
    call->ended(call, rc, rc != RC_OK ? err : NULL);
}

static void cancel_list(struct http_call **list, CURLM *multi)
{
    struct err err;
    err_set(&err, RC_CANCELLED, "the server is going down");
    while (*list != NULL) {
        struct http_call *call = *list;
        *list = call->next;
        if (call->easy != NULL)
            curl_multi_remove_handle(multi, call->easy);
        end_call(call, RC_CANCELLED, &err);
    }
}

/* Takes over what was submitted. False: the loop is to end. */
static bool take_submitted(struct http_loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    struct http_call *submitted = TAKE_PTR(loop->submitted);
    bool cancelled = loop->cancelled, stopping = loop->stopping;
    pthread_mutex_unlock(&loop->mutex);
    while (submitted != NULL) {
        struct http_call *call = submitted;
        submitted = call->next;
        call->next = loop->waiting;
        loop->waiting = call;
    }
    if (cancelled) {
        cancel_list(&loop->waiting, loop->multi);
        cancel_list(&loop->active, loop->multi);
    }
    return !stopping;
}

/* Starts what is due; how long until the next is. */
static int start_due(struct http_loop *loop)
{
    int64_t now_ms = clock_monotonic_ms(), patience_ms = LOOK_MS;
    for (struct http_call **link = &loop->waiting; *link != NULL;) {
        struct http_call *call = *link;
        if (call->start_ms > now_ms) {
            patience_ms = call->start_ms - now_ms < patience_ms ? call->start_ms - now_ms : patience_ms;
            link = &call->next;
            continue;
        }
        *link = call->next;
        struct err err;
        enum rc rc = call_prepare(call, &err);
        if (rc == RC_OK && curl_multi_add_handle(loop->multi, call->easy) != CURLM_OK)
            rc = err_set(&err, RC_NO_MEMORY, "no memory for a request to the origin");
        if (rc != RC_OK) {
            end_call(call, rc, &err);
            continue;
        }
        call->next = loop->active;
        loop->active = call;
        turns_offer();
    }
    return (int)patience_ms;
}

static void land(struct http_loop *loop, struct http_call *call, CURLcode code)
{
    struct err err;
    struct http_call **link = &loop->active;
    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
    enum rc rc = outcome(call, code, &err);
    curl_multi_remove_handle(loop->multi, call->easy);
    end_call(call, rc, &err);
}

static void land_stalled(struct http_loop *loop)
{
    int64_t now_ms = clock_monotonic_ms();
    loop->looked_ms = now_ms;
    for (struct http_call *call = loop->active, *next; call != NULL; call = next) {
        next = call->next;
        if (call->stall_ms > 0 && now_ms - call->progress_ms > call->stall_ms)
            land(loop, call, CURLE_OPERATION_TIMEDOUT);
    }
}

/* ---- libcurl's sockets, by epoll: what does not move costs nothing ---- */

static int on_interest(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    struct http_loop *loop = context;
    struct epoll_event event = {.data.fd = fd};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL); /* fails where it is closed already */
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (epoll_ctl(loop->epoll, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
        epoll_ctl(loop->epoll, known != NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
    curl_multi_assign(loop->multi, fd, loop); /* not NULL: it is known */
    return 0;
}

static int on_timer(CURLM *multi, long wait_ms, void *context)
{
    struct http_loop *loop = context;
    (void)multi;
    loop->timer_ms = wait_ms < 0 ? -1 : clock_monotonic_ms() + wait_ms;
    return 0;
}

static void wake(struct http_loop *loop)
{
    (void)eventfd_write(loop->wake, 1);
}

/* Until something moves, or at most so long; lets libcurl at it. */
static void move(struct http_loop *loop, int patience_ms)
{
    struct epoll_event event[EVENTS];
    int running = 0;
    int64_t now_ms = clock_monotonic_ms();
    if (loop->timer_ms >= 0 && loop->timer_ms - now_ms < patience_ms)
        patience_ms = loop->timer_ms > now_ms ? (int)(loop->timer_ms - now_ms) : 0;
    int count = epoll_wait(loop->epoll, event, EVENTS, patience_ms);
    for (int i = 0; i < count; i++) {
        eventfd_t ignored;
        if (event[i].data.fd == loop->wake) {
            (void)eventfd_read(loop->wake, &ignored);
            continue;
        }
        int what = (event[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (event[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (event[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(loop->multi, event[i].data.fd, what, &running);
        turns_offer();
    }
    if (loop->timer_ms >= 0 && clock_monotonic_ms() >= loop->timer_ms) {
        loop->timer_ms = -1; /* set anew from within */
        curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

static void *loop_thread(void *argument)
{
    struct http_loop *loop = argument;
    pthread_setname_np(pthread_self(), "fetch");
    turns_give_way(TURNS_WORK);
    while (take_submitted(loop)) {
        int patience_ms = start_due(loop), left = 0;
        bool idle = loop->active == NULL && loop->waiting == NULL;
        move(loop, idle ? IDLE_MS : patience_ms);
        for (CURLMsg *message = curl_multi_info_read(loop->multi, &left); message != NULL;
             message = curl_multi_info_read(loop->multi, &left)) {
            struct http_call *call = NULL;
            CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
            land(loop, call, code);
            turns_offer();
        }
        if (clock_monotonic_ms() - loop->looked_ms >= LOOK_MS)
            land_stalled(loop);
    }
    return NULL;
}

enum rc http_prepare(struct err *err)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
    return code == CURLE_OK
               ? RC_OK
               : err_set(err, RC_NO_MEMORY, "libcurl cannot start: %s", curl_easy_strerror(code));
}

enum rc http_loop_new(uint32_t most_connections, struct http_loop **ret_loop, struct err *err)
{
    struct http_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for requests to the origin");
    loop->timer_ms = -1;
    loop->multi = curl_multi_init();
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&loop->mutex, NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = loop->wake};
    if (loop->multi == NULL || loop->epoll < 0 || loop->wake < 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) != 0) {
        http_loop_free(&loop);
        return err_set(err, RC_NO_MEMORY, "no memory for requests to the origin");
    }
    curl_multi_setopt(loop->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)most_connections);
    curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, (long)most_connections);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_interest);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    *ret_loop = loop;
    return RC_OK;
}

enum rc http_loop_start(struct http_loop *loop, struct err *err)
{
    int failed = pthread_create(&loop->thread, NULL, loop_thread, loop);
    if (failed != 0)
        return err_set_errno(err, RC_IO, failed, "the thread that fetches cannot start");
    loop->running = true;
    return RC_OK;
}

void http_loop_submit(struct http_loop *loop, struct http_call *call)
{
    pthread_mutex_lock(&loop->mutex);
    call->next = loop->submitted;
    loop->submitted = call;
    pthread_mutex_unlock(&loop->mutex);
    wake(loop);
}

void http_loop_cancel(struct http_loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    loop->cancelled = true;
    pthread_mutex_unlock(&loop->mutex);
    wake(loop);
}

void http_loop_free(struct http_loop **slot)
{
    struct http_loop *loop = TAKE_PTR(*slot);
    if (loop == NULL)
        return;
    pthread_mutex_lock(&loop->mutex);
    loop->cancelled = loop->stopping = true;
    pthread_mutex_unlock(&loop->mutex);
    wake(loop);
    if (loop->running)
        pthread_join(loop->thread, NULL);
    take_submitted(loop); /* what came after its last look */
    curl_multi_cleanup(loop->multi);
    own_close(&loop->epoll);
    own_close(&loop->wake);
    pthread_mutex_destroy(&loop->mutex);
    free(loop);
}

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
