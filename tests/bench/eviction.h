/* A trace of requests for derivatives and what three ways of forgetting make of it: ours (shm/catalogue.h and shm/sketch.h, the
 * real code), least recently used, and one that knows the future (Belady's, adapted to sizes: what is asked for again latest,
 * weighted by its size, goes first).
 *
 * The trace: popularity by Zipf's law with exponent 0.9 over a fixed set of images' derivatives, whose sizes follow no
 * popularity; the popular ones drift with time; and now and then somebody walks through a whole collection once (a crawler, a
 * deep zoom), asking for things that nobody asks for again. Made from a seed: always the same. */
#ifndef TESTS_BENCH_EVICTION_H
#define TESTS_BENCH_EVICTION_H

#include "shm/catalogue.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct eviction_trace {
    uint32_t requests, things;
    uint32_t *thing;      /* of each request */
    uint32_t *next;       /* request that asks for the same again; UINT32_MAX: none */
    uint32_t *size_bytes; /* of each thing */
};

struct eviction_result {
    double hit_ratio, byte_hit_ratio;
};

struct eviction_options {
    uint32_t requests, popular;
    double exponent;
    uint32_t scan_every, scan_length; /* requests */
    uint32_t drift_every;             /* requests after which the popularity of two things changes places */
    uint64_t seed;
};

static inline uint64_t eviction_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline double eviction_fraction(uint64_t *state)
{
    return (double)(eviction_random(state) >> 11) / (double)(UINT64_C(1) << 53);
}

/* Thumbnails, tiles, large ones: 3 to 600 KB, mostly small. */
static inline uint32_t eviction_size(uint64_t *state)
{
    double kind = eviction_fraction(state), within = eviction_fraction(state);
    return kind < 0.5   ? (uint32_t)(3000 + 9000 * within)
           : kind < 0.9 ? (uint32_t)(12000 + 50000 * within)
                        : (uint32_t)(100000 + 500000 * within);
}

static inline void eviction_trace_make(const struct eviction_options *options, struct eviction_trace *trace)
{
    uint64_t state = options->seed;
    uint32_t scans = options->scan_every > 0 ? options->requests / options->scan_every + 1 : 0;
    *trace = (struct eviction_trace){.requests = options->requests,
                                     .things = options->popular + scans * options->scan_length};
    trace->thing = calloc(trace->requests, sizeof *trace->thing);
    trace->next = calloc(trace->requests, sizeof *trace->next);
    trace->size_bytes = calloc(trace->things, sizeof *trace->size_bytes);
    double *sum = calloc(options->popular, sizeof *sum);
    uint32_t *rank = calloc(options->popular, sizeof *rank), *last = calloc(trace->things, sizeof *last);
    double total = 0;
    for (uint32_t i = 0; i < options->popular; i++) {
        total += 1 / pow(i + 1, options->exponent);
        sum[i] = total;
        rank[i] = i;
    }
    for (uint32_t i = 0; i < trace->things; i++)
        trace->size_bytes[i] = eviction_size(&state);
    uint32_t fresh = options->popular, scan_left = 0;
    for (uint32_t i = 0; i < trace->requests; i++) {
        if (options->scan_every > 0 && i % options->scan_every == options->scan_every / 2)
            scan_left = options->scan_length;
        if (options->drift_every > 0 && i % options->drift_every == 0) {
            uint32_t a = (uint32_t)(eviction_random(&state) % options->popular),
                     b = (uint32_t)(eviction_random(&state) % options->popular), swap = rank[a];
            rank[a] = rank[b];
            rank[b] = swap;
        }
        if (scan_left > 0 && i % 2 == 0) { /* between what the others ask for */
            trace->thing[i] = fresh++;
            scan_left--;
            continue;
        }
        double wanted = eviction_fraction(&state) * total;
        uint32_t low = 0, high = options->popular - 1;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (sum[middle] < wanted)
                low = middle + 1;
            else
                high = middle;
        }
        trace->thing[i] = rank[low];
    }
    memset(last, 0xff, trace->things * sizeof *last);
    for (uint32_t i = trace->requests; i-- > 0;) {
        trace->next[i] = last[trace->thing[i]];
        last[trace->thing[i]] = i;
    }
    free(sum);
    free(rank);
    free(last);
}

static inline void eviction_trace_free(struct eviction_trace *trace)
{
    free(trace->thing);
    free(trace->next);
    free(trace->size_bytes);
}

static inline uint64_t eviction_all_bytes(const struct eviction_trace *trace, uint32_t popular)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < popular; i++)
        bytes += trace->size_bytes[i];
    return bytes;
}

/* ---- what is counted ---- */

struct eviction_score {
    uint64_t hits, asked, hit_bytes, asked_bytes;
};

/* The first tenth fills the cache and does not count. */
static inline void eviction_count(const struct eviction_trace *trace, uint32_t request, bool hit,
                                  struct eviction_score *score)
{
    if (request < trace->requests / 10)
        return;
    uint64_t size = trace->size_bytes[trace->thing[request]];
    score->asked++;
    score->asked_bytes += size;
    score->hits += hit;
    score->hit_bytes += hit ? size : 0;
}

static inline struct eviction_result eviction_result(const struct eviction_score *score)
{
    return (struct eviction_result){(double)score->hits / (double)score->asked,
                                    (double)score->hit_bytes / (double)score->asked_bytes};
}

/* ---- ours ---- */

static inline struct shm_key eviction_key(uint32_t thing)
{
    uint64_t state = thing;
    struct shm_key key = {eviction_random(&state) | 1, eviction_random(&state)};
    return key;
}

static inline struct eviction_result eviction_ours(const struct eviction_trace *trace, uint64_t cache_bytes,
                                                   uint32_t files)
{
    struct shm_sketch *sketch = aligned_alloc(64, (shm_sketch_bytes(files) + 63) / 64 * 64);
    struct shm_catalogue *catalogue = aligned_alloc(64, (shm_catalogue_bytes(files) + 63) / 64 * 64);
    memset(sketch, 0, shm_sketch_bytes(files));
    memset(catalogue, 0, shm_catalogue_bytes(files));
    shm_sketch_init(sketch, files);
    shm_catalogue_init(catalogue, files);
    struct eviction_score score = {0};
    for (uint32_t i = 0; i < trace->requests; i++) {
        struct shm_catalogue_item item = {.key = eviction_key(trace->thing[i]),
                                          .size_bytes = trace->size_bytes[trace->thing[i]],
                                          .seen_s = i / 100};
        struct shm_catalogue_item victim;
        uint64_t known;
        shm_sketch_add(sketch, item.key, shm_catalogue_files(catalogue));
        bool hit = shm_catalogue_touch(catalogue, item.key, item.seen_s, shm_sketch_clock(sketch), &known);
        eviction_count(trace, i, hit, &score);
        if (hit)
            continue;
        while (shm_catalogue_size_bytes(catalogue) + item.size_bytes > cache_bytes &&
               shm_catalogue_choose(catalogue, sketch, i * UINT64_C(7919) + shm_catalogue_files(catalogue),
                                    &victim))
            shm_catalogue_remove(catalogue, victim.key);
        item.seen_clock = shm_sketch_clock(sketch);
        shm_catalogue_add(catalogue, sketch, &item, &victim);
    }
    free(sketch);
    free(catalogue);
    return eviction_result(&score);
}

/* ---- least recently used ---- */

static inline struct eviction_result eviction_lru(const struct eviction_trace *trace, uint64_t cache_bytes)
{
    struct eviction_score score = {0};
    uint32_t none = trace->things, *newer = calloc(trace->things + 1, 4),
             *older = calloc(trace->things + 1, 4);
    bool *is_in = calloc(trace->things, 1);
    uint64_t used = 0;
    newer[none] = older[none] = none; /* of a ring: newer[none] is the oldest, older[none] the newest */
    for (uint32_t i = 0; i < trace->requests; i++) {
        uint32_t thing = trace->thing[i];
        eviction_count(trace, i, is_in[thing], &score);
        if (is_in[thing]) {
            newer[older[thing]] = newer[thing];
            older[newer[thing]] = older[thing];
        } else {
            used += trace->size_bytes[thing];
        }
        is_in[thing] = true;
        older[thing] = older[none];
        newer[thing] = none;
        newer[older[none]] = thing;
        older[none] = thing;
        while (used > cache_bytes) {
            uint32_t victim = newer[none];
            newer[none] = newer[victim];
            older[newer[victim]] = none;
            used -= trace->size_bytes[victim];
            is_in[victim] = false;
        }
    }
    free(newer);
    free(older);
    free(is_in);
    return eviction_result(&score);
}

/* ---- one that knows the future ---- */

struct eviction_future {
    double badness; /* how long it will lie there unused, times its size */
    uint32_t thing, asked;
};

static inline void eviction_sift(struct eviction_future *heap, uint32_t count, uint32_t at)
{
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && heap[child + 1].badness > heap[child].badness)
            child++;
        if (heap[at].badness >= heap[child].badness)
            return;
        struct eviction_future swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
    }
}

/* Not the true optimum, which is hard to find where sizes differ, but what is commonly set beside: the heap is made anew each
 * time that a sixty-fourth of the cache has to go. */
static inline struct eviction_result eviction_belady(const struct eviction_trace *trace, uint64_t cache_bytes)
{
    struct eviction_score score = {0};
    struct eviction_future *heap = calloc(trace->things, sizeof *heap);
    uint32_t *asked = calloc(trace->things, 4), *in = calloc(trace->things, 4),
             *place = calloc(trace->things, 4);
    bool *is_in = calloc(trace->things, 1);
    uint32_t in_count = 0;
    uint64_t used = 0;
    for (uint32_t i = 0; i < trace->requests; i++) {
        uint32_t thing = trace->thing[i];
        eviction_count(trace, i, is_in[thing], &score);
        asked[thing] = i;
        if (is_in[thing] || trace->next[i] == UINT32_MAX)
            continue; /* what is never asked for again is not even kept */
        is_in[thing] = true;
        place[thing] = in_count;
        in[in_count++] = thing;
        used += trace->size_bytes[thing];
        if (used <= cache_bytes)
            continue;
        for (uint32_t k = 0; k < in_count; k++) {
            uint32_t next = trace->next[asked[in[k]]];
            double wait = next == UINT32_MAX ? 4e9 : (double)(next - i);
            heap[k] = (struct eviction_future){wait * trace->size_bytes[in[k]], in[k], 0};
        }
        for (uint32_t k = in_count / 2; k-- > 0;)
            eviction_sift(heap, in_count, k);
        for (uint32_t left = in_count; used > cache_bytes - cache_bytes / 64 && left > 0;) {
            uint32_t victim = heap[0].thing;
            heap[0] = heap[--left];
            eviction_sift(heap, left, 0);
            used -= trace->size_bytes[victim];
            is_in[victim] = false;
            in[place[victim]] = in[--in_count];
            place[in[in_count]] = place[victim];
        }
    }
    free(heap);
    free(asked);
    free(in);
    free(place);
    free(is_in);
    return eviction_result(&score);
}

#endif
