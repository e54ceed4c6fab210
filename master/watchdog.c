#include "master/watchdog.h"

#include "base/clock.h"
#include "base/own.h"
#include "master/crew.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#define LOOK_MS         1000
#define STOPPED_MS      2000     /* a control thread beats every second; later, and the worker did not run */
#define MOST_ALLOWED_MS 3600000u /* whatever a worker says */
#define STARTS          3        /* times worker_hang_timeout: no beat comes before a worker serves */
#define LAST_WORDS_MS   100      /* for a thread that hangs to say where */
#define RETIRE_MS       5000     /* then clients that read slowly go on elsewhere */
#define MOST_RETIRE_MS  3600000  /* renders end before, or the watchdog ends them */

/* A number that has to change now and then. */
struct watched {
    uint64_t what;
    int64_t value;
    int64_t still_ms;
};

enum { STARTING, SERVING }; /* what a worker's control is watched for */

struct watched_worker {
    pid_t pid; /* of whom all this is known */
    bool is_dead;
    struct watched control;
    struct watched beat[SHM_BEAT_STRAY];
};

struct master_watchdog {
    int64_t looked_ms;
    int64_t condemned_ms; /* when those whose threads hang are killed; 0: none */
    /* The worker that is being replaced, one at a time. */
    bool is_recycling;
    uint32_t old_slot, new_slot;
    pid_t old_pid;
    int64_t retired_ms; /* 0: the new one does not serve yet */
    struct watched_worker worker[SHM_MAX_WORKERS];
};

enum rc master_watchdog_new(struct master_watchdog **ret_watchdog, struct err *err)
{
    struct master_watchdog *watchdog = calloc(1, sizeof *watchdog);
    if (watchdog == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the watchdog");
    *ret_watchdog = watchdog;
    return RC_OK;
}

void master_watchdog_free(struct master_watchdog **watchdog)
{
    free(TAKE_PTR(*watchdog));
}

/* Standing still ----------------------------------------------------------------------------------------- */

/* For how long the number has not changed while somebody looked. */
static int64_t still_ms(struct watched *watched, uint64_t what, int64_t value, int64_t passed_ms)
{
    if (watched->what != what || watched->value != value)
        *watched = (struct watched){.what = what, .value = value};
    else
        watched->still_ms += passed_ms;
    return watched->still_ms;
}

static void condemn(struct master_crew *crew, struct master_child *child, const char *what, int64_t ms)
{
    log_error("worker %u (pid %d): %s stands still since %" PRId64 " s and the worker is killed", child->slot,
              (int)child->pid, what, ms / 1000);
    atomic_fetch_add_explicit(&crew->segment->counters.hangs, 1, memory_order_relaxed);
    child->is_hung = true;
}

/* A thread that has a request and does not get on with it. */
static void look_at_threads(struct master_crew *crew, struct master_child *child,
                            struct watched_worker *known, int64_t passed_ms)
{
    const struct shm_beats *beats = &crew->segment->beats[child->slot];
    uint32_t count = shm_beat_count(beats);
    for (uint32_t i = 0; i < count; i++) {
        const struct shm_beat *beat = &beats->beat[i];
        uint64_t id = atomic_load_explicit(&beat->connection_id, memory_order_acquire);
        int64_t alive_ms = atomic_load_explicit(&beat->alive_ms, memory_order_relaxed);
        uint32_t allowed_ms = atomic_load_explicit(&beat->allowed_ms, memory_order_relaxed);
        int64_t ms = still_ms(&known->beat[i], id, alive_ms, passed_ms);
        if (allowed_ms > MOST_ALLOWED_MS)
            allowed_ms = MOST_ALLOWED_MS;
        if (id == 0 || alive_ms == 0 || ms < crew->settings->render_hang_timeout_s * 1000 + allowed_ms)
            continue;
        child->hung_beat = i;
        child->hung_id = id;
        condemn(crew, child, "a thread at work on a request", ms);
        /* Whatever number the worker has written, it can only be one of its own threads. */
        tgkill(child->pid, atomic_load_explicit(&beat->thread, memory_order_relaxed), SIGXCPU);
        return;
    }
}

/* True when it is to be killed. */
static bool look_at_worker(struct master_crew *crew, struct master_child *child, struct watched_worker *known,
                           int64_t passed_ms)
{
    if (known->pid != child->pid)
        *known = (struct watched_worker){.pid = child->pid};
    if (child->is_hung || child->pid == 0 || child->state == CHILD_LEAVING)
        return false;
    const int64_t limit_ms = crew->settings->worker_hang_timeout_s * 1000;
    child->hung_id = 0;
    if (!child->was_ready) {
        int64_t ms = still_ms(&known->control, STARTING, 0, passed_ms);
        if (ms >= STARTS * limit_ms)
            condemn(crew, child, "its start", ms);
        return child->is_hung;
    }
    uint64_t beat_ms = atomic_load_explicit(&crew->segment->slot[child->slot].beat_ms, memory_order_relaxed);
    int64_t ran_ms = (int64_t)(beat_ms - (uint64_t)known->control.value);
    int64_t ms = still_ms(&known->control, SERVING, (int64_t)beat_ms, passed_ms);
    if (ms >= limit_ms)
        condemn(crew, child, "all of it", ms);
    else if (ran_ms > 0) /* its threads have had that much time to get on */
        look_at_threads(crew, child, known, ran_ms < STOPPED_MS ? ran_ms : 0);
    return child->is_hung;
}

/* Those whose threads were asked for their last words a moment ago. */
static void kill_condemned(struct master_crew *crew)
{
    for (uint32_t i = 0; i < crew->count; i++)
        if (crew->child[i].is_hung)
            master_child_kill(&crew->child[i], SIGKILL);
}

/* Recycling ---------------------------------------------------------------------------------------------- */

/* What is the worker's alone: resident and not shared. 0 when it is unknown. */
static int64_t own_memory_bytes(pid_t pid)
{
    char path[32], text[128];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (length <= 0)
        return 0;
    text[length] = '\0';
    int64_t resident, shared;
    if (sscanf(text, "%*u %" SCNd64 " %" SCNd64, &resident, &shared) != 2)
        return 0;
    return (resident - shared) * sysconf(_SC_PAGESIZE);
}

/* True at the second look at which it is dead: whatever ran of it has had a second to see that. */
static bool cannot_end(struct watched_worker *known, const struct master_child *child, int *ret_status)
{
    bool was_dead = known->pid == child->pid && known->is_dead;
    known->is_dead = known->pid == child->pid && master_child_is_dead(child, ret_status);
    return was_dead && known->is_dead;
}

/* For the limit, and for everybody to see. What has no memory has died. */
static void weigh(struct master_watchdog *watchdog, struct master_crew *crew)
{
    atomic_store_explicit(&crew->segment->counters.master_bytes, (uint64_t)own_memory_bytes(getpid()),
                          memory_order_relaxed);
    for (uint32_t i = 0; i < crew->count; i++) {
        struct master_child *child = &crew->child[i];
        child->memory_bytes = child->pid != 0 ? own_memory_bytes(child->pid) : 0;
        atomic_store_explicit(&crew->segment->tally[i].memory_bytes, (uint64_t)child->memory_bytes,
                              memory_order_relaxed);
        int status;
        if (child->pid != 0 && child->memory_bytes == 0 && cannot_end(&watchdog->worker[i], child, &status))
            master_crew_leave_behind(crew, child, status);
    }
}

static bool is_due(const struct master_crew *crew, const struct master_child *child)
{
    const struct settings *settings = crew->settings;
    uint64_t requests = atomic_load_explicit(&crew->segment->slot[child->slot].requests,
                                             memory_order_relaxed);
    if (settings->worker_max_requests > 0 && requests >= (uint64_t)settings->worker_max_requests) {
        log_info("worker %u (pid %d) has served %" PRIu64 " requests and is replaced", child->slot,
                 (int)child->pid, requests);
        return true;
    }
    if (child->is_to_be_replaced) {
        log_info("worker %u (pid %d) has no way to a directory that answers now: it is replaced", child->slot,
                 (int)child->pid);
        return true;
    }
    if (settings->worker_max_rss == 0 || child->memory_bytes <= settings->worker_max_rss)
        return false;
    log_info("worker %u (pid %d) holds %" PRId64 " MB of memory and is replaced", child->slot,
             (int)child->pid, child->memory_bytes >> 20);
    return true;
}

static struct master_child *free_place(struct master_crew *crew)
{
    for (uint32_t i = 0; i < SHM_MAX_WORKERS; i++) {
        struct master_child *child = &crew->child[i];
        if (child->state == CHILD_NONE && child->pid == 0 && child->respawn_at_ms == 0)
            return child;
    }
    return NULL;
}

/* The new worker comes first, so that there is always one that takes connections. */
static void begin_recycling(struct master_watchdog *watchdog, struct master_crew *crew,
                            struct master_child *old)
{
    struct master_child *new = free_place(crew);
    if (new == NULL)
        return;
    new->generation = old->generation;
    if (!master_crew_spawn(crew, new))
        return;
    if (crew->count <= new->slot)
        crew->count = new->slot + 1;
    old->is_succeeded = true;
    watchdog->is_recycling = true;
    watchdog->old_slot = old->slot;
    watchdog->old_pid = old->pid;
    watchdog->new_slot = new->slot;
    watchdog->retired_ms = 0;
    atomic_fetch_add_explicit(&crew->segment->counters.recycled, 1, memory_order_relaxed);
}

/* Goes on with what was begun. */
static void go_on_recycling(struct master_watchdog *watchdog, struct master_crew *crew, int64_t now_ms)
{
    struct master_child *old = &crew->child[watchdog->old_slot];
    const struct master_child *new = &crew->child[watchdog->new_slot];
    if (old->pid != watchdog->old_pid || crew->is_leaving) {
        watchdog->is_recycling = false;
    } else if (watchdog->retired_ms != 0) {
        /* Whatever it renders ends soon, or the watchdog ends it; killed now it would begin again elsewhere,
         * and grow that worker likewise. */
        bool renders = atomic_load_explicit(&crew->segment->slot[old->slot].queued, memory_order_relaxed) > 0;
        if (now_ms - watchdog->retired_ms >= (renders ? MOST_RETIRE_MS : RETIRE_MS))
            old->kill_at_ms = now_ms;
    } else if (old->state != CHILD_SERVING) {
        watchdog->is_recycling = false; /* it is told to leave by others */
    } else if (new->state == CHILD_SERVING) {
        master_crew_retire(crew, old);
        old->kill_at_ms = 0;
        watchdog->retired_ms = now_ms;
    }
}

static void recycle(struct master_watchdog *watchdog, struct master_crew *crew, int64_t now_ms)
{
    if (watchdog->is_recycling)
        go_on_recycling(watchdog, crew, now_ms);
    if (watchdog->is_recycling || crew->is_leaving || crew->next.settings != NULL)
        return;
    for (uint32_t i = 0; i < crew->count && !watchdog->is_recycling; i++) {
        struct master_child *child = &crew->child[i];
        if (child->state == CHILD_SERVING && !child->is_succeeded && is_due(crew, child))
            begin_recycling(watchdog, crew, child);
    }
}

int64_t master_watchdog_look(struct master_watchdog *watchdog, struct master_crew *crew, int64_t now_ms)
{
    if (watchdog->condemned_ms != 0 && now_ms >= watchdog->condemned_ms) {
        kill_condemned(crew);
        watchdog->condemned_ms = 0;
    }
    if (now_ms < watchdog->looked_ms + LOOK_MS)
        return clock_earlier_ms(watchdog->condemned_ms, watchdog->looked_ms + LOOK_MS);
    /* After a longer pause nobody knows who moved during it. */
    int64_t passed_ms = now_ms - watchdog->looked_ms < 2 * LOOK_MS ? now_ms - watchdog->looked_ms : LOOK_MS;
    watchdog->looked_ms = now_ms;
    for (uint32_t i = 0; i < crew->count; i++)
        if (look_at_worker(crew, &crew->child[i], &watchdog->worker[i], passed_ms))
            watchdog->condemned_ms = now_ms + LAST_WORDS_MS;
    weigh(watchdog, crew);
    recycle(watchdog, crew, now_ms);
    return clock_earlier_ms(watchdog->condemned_ms, now_ms + LOOK_MS);
}
