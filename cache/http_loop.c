#include "cache/http_loop.h"

#include "base/clock.h"
#include "base/own.h"
#include "base/turns.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <curl/curl.h>

#define LOOK_MS 200 /* how often stalls are looked for */
#define IDLE_MS 60000
#define EVENTS  64

struct http_loop {
    CURLM *multi;
    int epoll, wake; /* the second, an eventfd, says that something is to be looked at */
    int64_t timer_ms,
        looked_ms; /* when libcurl wants to be called at the latest, -1 for never; when stalls were looked for */
    pthread_t thread;
    bool running;
    pthread_mutex_t mutex;
    bool cancelled, stopping;
    struct http_call *submitted;        /* under the mutex, the last first */
    struct http_call *waiting, *active; /* the thread's; the first who waits first */
    uint32_t active_count, most_active;
};

/* ---- calls ---- */

static void end_call(struct http_call *call, enum rc rc, const struct err *err)
{
    http_call_release(call);
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
    struct http_call **end = &loop->waiting;
    while (*end != NULL)
        end = &(*end)->next;
    while (submitted != NULL) { /* the last of them comes last */
        struct http_call *call = submitted;
        submitted = call->next;
        call->next = *end;
        *end = call;
    }
    if (cancelled) {
        cancel_list(&loop->waiting, loop->multi);
        cancel_list(&loop->active, loop->multi);
        loop->active_count = 0;
    }
    return !stopping;
}

/* It has not been asked for, and is not the origin's fault: whoever waits for one of our connections waits
 * twice as long as for an answer. */
static bool has_waited_in_vain(const struct http_call *call, int64_t now_ms)
{
    return call->stall_ms > 0 && now_ms - call->queued_ms > 2 * call->stall_ms;
}

static void refuse(struct http_call *call)
{
    struct err err;
    err_set(&err, RC_BUSY, "too much is asked of %.100s at once, please try again",
            call->whom != NULL ? call->whom : "the origin");
    err.retry_s = 1;
    end_call(call, RC_BUSY, &err);
}

/* Starts what is due, as much as may be under way at once; how long until the next is. */
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
        bool is_full = loop->active_count >= loop->most_active;
        if (is_full && !has_waited_in_vain(call, now_ms)) {
            link = &call->next;
            continue;
        }
        *link = call->next;
        if (is_full) {
            refuse(call);
            continue;
        }
        struct err err;
        enum rc rc = http_call_begin(call, &err);
        if (rc == RC_OK && curl_multi_add_handle(loop->multi, call->easy) != CURLM_OK)
            rc = err_set(&err, RC_NO_MEMORY, "no memory for a request to the origin");
        if (rc != RC_OK) {
            end_call(call, rc, &err);
            continue;
        }
        call->next = loop->active;
        loop->active = call;
        loop->active_count++;
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
    loop->active_count--;
    enum rc rc = http_call_outcome(call, (int)code, &err);
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

enum rc http_loop_new(uint32_t most_connections, struct http_loop **ret_loop, struct err *err)
{
    struct http_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for requests to the origin");
    loop->timer_ms = -1;
    loop->most_active = most_connections;
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
    int64_t now_ms = clock_monotonic_ms();
    call->queued_ms = call->start_ms > now_ms ? call->start_ms : now_ms;
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
