#include "shm/tally.h"

/* ---- names ---- */

static const uint16_t statuses[SHM_TALLY_STATUSES] = {0,   200, 204, 206, 301, 302, 303, 304, 400,
                                                      401, 403, 404, 405, 406, 408, 410, 411, 413,
                                                      414, 416, 429, 431, 500, 503, 504};

/* The inverse of it, for what is common; the rest is looked for. */
static unsigned place_of(unsigned status)
{
    if (status == 200)
        return 1;
    for (unsigned i = 2; i < SHM_TALLY_STATUSES; i++)
        if (statuses[i] == status)
            return i;
    return 0;
}

unsigned shm_tally_status(unsigned place)
{
    return place < SHM_TALLY_STATUSES ? statuses[place] : 0;
}

const char *shm_tally_class_name(unsigned class)
{
    static const char *const name[SHM_TALLY_CLASSES] = {
        "other", "tile", "edge_tile", "thumbnail", "full", "region", "info", "document", "page", "command"};
    return class < SHM_TALLY_CLASSES ? name[class] : "other";
}

const char *shm_tally_protocol_name(unsigned protocol)
{
    static const char *const name[SHM_TALLY_PROTOCOLS] = {"none",    "iiif3",        "iiif2", "deepzoom",
                                                          "zoomify", "presentation", "web",   "admin"};
    return protocol < SHM_TALLY_PROTOCOLS ? name[protocol] : "none";
}

const char *shm_tally_stage_name(unsigned stage)
{
    static const char *const name[SHM_TALLY_STAGES] = {"queue",  "fetch", "decode", "resample",
                                                       "encode", "wait",  "send"};
    return stage < SHM_TALLY_STAGES ? name[stage] : "wait";
}

/* ---- buckets ---- */

#define FIRST_LOG2 4 /* bucket 0: up to 16 µs; then four buckets to an octave */

static unsigned bucket_of(uint64_t us)
{
    uint64_t below = us > 0 ? us - 1 : 0; /* bounds belong to the bucket that they end */
    if (below < (1u << FIRST_LOG2))
        return 0;
    unsigned log2 = 63u - (unsigned)__builtin_clzll(below);
    unsigned i = (log2 - FIRST_LOG2) * 4 + (unsigned)(below >> (log2 - 2) & 3) + 1;
    return i < SHM_TALLY_BUCKETS ? i : SHM_TALLY_BUCKETS - 1;
}

uint64_t shm_tally_bound_us(unsigned i)
{
    uint64_t octave = (uint64_t)1 << (FIRST_LOG2 + i / 4);
    return octave + octave / 4 * (i % 4);
}

/* ---- writing ---- */

void shm_tally_add(_Atomic uint64_t *word, uint64_t more)
{
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

void shm_tally_request(struct shm_tally *tally, enum shm_tally_class class, enum shm_tally_protocol protocol,
                       unsigned status)
{
    shm_tally_add(&tally->requests[class][protocol][place_of(status)], 1);
}

static struct shm_tally_window *window_at(struct shm_tally *tally, int64_t now_ms)
{
    int64_t number = now_ms / (SHM_TALLY_WINDOW_S * 1000);
    struct shm_tally_window *window = &tally->window[(uint64_t)number % SHM_TALLY_WINDOWS];
    if (atomic_load_explicit(&window->number, memory_order_relaxed) == number)
        return window;
    for (unsigned row = 0; row < SHM_TALLY_ROWS; row++)
        for (unsigned i = 0; i < SHM_TALLY_BUCKETS; i++)
            atomic_store_explicit(&window->count[row][i], 0, memory_order_relaxed);
    atomic_store_explicit(&window->number, number, memory_order_release);
    return window;
}

void shm_tally_time(struct shm_tally *tally, unsigned row, uint64_t us, int64_t now_ms)
{
    struct shm_tally_times *times = &tally->times[row];
    unsigned i = bucket_of(us);
    shm_tally_add(&times->sum_us, us);
    shm_tally_add(&times->count[i], 1);
    _Atomic uint32_t *lately = &window_at(tally, now_ms)->count[row][i];
    atomic_store_explicit(lately, atomic_load_explicit(lately, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* ---- reading ---- */

static uint64_t value_of(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void add_window(struct shm_tally_sum *sum, const struct shm_tally_window *window, int64_t now_ms)
{
    int64_t newest = now_ms / (SHM_TALLY_WINDOW_S * 1000);
    int64_t number = atomic_load_explicit(&window->number, memory_order_acquire);
    if (number == 0 || number > newest || number <= newest - (int64_t)SHM_TALLY_WINDOWS)
        return;
    for (unsigned row = 0; row < SHM_TALLY_ROWS; row++)
        for (unsigned i = 0; i < SHM_TALLY_BUCKETS; i++)
            sum->lately[row][i] += atomic_load_explicit(&window->count[row][i], memory_order_relaxed);
}

void shm_tally_sum_add(struct shm_tally_sum *sum, const struct shm_tally *tally, int64_t now_ms)
{
    sum->sent_bytes += value_of(&tally->sent_bytes);
    sum->read_bytes += value_of(&tally->read_bytes);
    sum->log_dropped += value_of(&tally->log_dropped);
    sum->slow += value_of(&tally->slow);
    for (unsigned c = 0; c < SHM_TALLY_CLASSES; c++)
        for (unsigned p = 0; p < SHM_TALLY_PROTOCOLS; p++)
            for (unsigned s = 0; s < SHM_TALLY_STATUSES; s++)
                sum->requests[c][p][s] += value_of(&tally->requests[c][p][s]);
    for (unsigned row = 0; row < SHM_TALLY_ROWS; row++) {
        sum->sum_us[row] += value_of(&tally->times[row].sum_us);
        for (unsigned i = 0; i < SHM_TALLY_BUCKETS; i++)
            sum->count[row][i] += value_of(&tally->times[row].count[i]);
    }
    for (unsigned i = 0; i < SHM_TALLY_WINDOWS; i++)
        add_window(sum, &tally->window[i], now_ms);
}

double shm_tally_quantile_us(const uint64_t count[SHM_TALLY_BUCKETS], double part)
{
    uint64_t all = 0, before = 0;
    for (unsigned i = 0; i < SHM_TALLY_BUCKETS; i++)
        all += count[i];
    double wanted = part * (double)all;
    for (unsigned i = 0; i < SHM_TALLY_BUCKETS; i++) {
        if (count[i] == 0 || (double)(before + count[i]) < wanted) {
            before += count[i];
            continue;
        }
        double from = i > 0 ? (double)shm_tally_bound_us(i - 1) : 0, to = (double)shm_tally_bound_us(i);
        return from + (to - from) * (wanted - (double)before) / (double)count[i];
    }
    return 0;
}

double shm_tally_lately_s(int64_t now_ms, int64_t age_ms)
{
    int64_t window_ms = SHM_TALLY_WINDOW_S * 1000;
    int64_t reach_ms = (SHM_TALLY_WINDOWS - 1) * window_ms + now_ms % window_ms;
    int64_t lately_ms = age_ms < reach_ms ? age_ms : reach_ms;
    return (double)(lately_ms > 0 ? lately_ms : 1) / 1000;
}
