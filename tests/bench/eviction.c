/* Hit ratios on a long trace; tests/bench/eviction builds and runs it. */
#include "tests/bench/eviction.h"

#include <stdio.h>

int main(void)
{
    static const struct {
        const char *name;
        struct eviction_options options;
    } trace[] = {
        {"Zipf 0.9, scans of 8,000 every 60,000", {600000, 20000, 0.9, 60000, 8000, 100, 1}},
        {"Zipf 0.9, no scans", {600000, 20000, 0.9, 0, 0, 100, 1}},
        {"Zipf 0.9, scans of 20,000 every 60,000, popularity drifts thrice as fast",
         {600000, 20000, 0.9, 60000, 20000, 30, 1}},
    };
    printf("hits among all requests (and among all bytes); the cache in per cent of all that is asked for "
           "twice\n");
    for (size_t i = 0; i < sizeof trace / sizeof trace[0]; i++) {
        struct eviction_trace made;
        eviction_trace_make(&trace[i].options, &made);
        uint64_t all_bytes = eviction_all_bytes(&made, trace[i].options.popular);
        printf("\n%s\n  cache        ours            LRU             Belady\n", trace[i].name);
        for (unsigned percent = 2; percent <= 12; percent = percent * 5 / 2) {
            uint64_t bytes = all_bytes * percent / 100;
            struct eviction_result ours = eviction_ours(&made, bytes, 2 * trace[i].options.popular),
                                   lru = eviction_lru(&made, bytes), belady = eviction_belady(&made, bytes);
            printf("  %3u %%   %.3f (%.3f)   %.3f (%.3f)   %.3f (%.3f)\n", percent, ours.hit_ratio,
                   ours.byte_hit_ratio, lru.hit_ratio, lru.byte_hit_ratio, belady.hit_ratio,
                   belady.byte_hit_ratio);
        }
        eviction_trace_free(&made);
    }
    return 0;
}
