#include "worker/admin_cache.h"

#include <inttypes.h>

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* One number of the cache, by its names in /metrics and /status. */
struct number {
    const char *name, *type, *help, *key;
    uint64_t value;
};
#define NUMBERS 15

static void read_numbers(struct derivatives *cache, struct number ret_number[NUMBERS])
{
    const struct shm_derivatives *shared = cache->shared;
    const struct shm_derivatives_counters *counters = shared->counters;
    const struct number number[NUMBERS] = {
        {"memory_hits_total", "counter", "Images answered from memory.", "memory_hits",
         value_of(&counters->memory_hits)},
        {"file_hits_total", "counter", "Images answered from files of the cache.", "file_hits",
         value_of(&counters->file_hits)},
        {"misses_total", "counter", "Images that were looked up in vain.", "misses",
         value_of(&counters->misses)},
        {"shared_total", "counter", "Images answered from what was rendered for another request.", "shared",
         value_of(&counters->shared)},
        {"stored_total", "counter", "Files written.", "stored", value_of(&counters->stored)},
        {"refused_total", "counter", "Files that could not be written.", "refused",
         value_of(&counters->refused)},
        {"evicted_total", "counter", "Files removed to make room.", "evicted", value_of(&counters->evicted)},
        {"purged_total", "counter", "Files removed because they were purged or pruned, or too old.", "purged",
         value_of(&counters->purged)},
        {"corrupt_total", "counter", "Entries that did not pass their own check and were dropped.", "corrupt",
         value_of(&counters->corrupt)},
        {"files", "gauge", "Files in the cache.", "files", shm_catalogue_files(shared->catalogue)},
        {"file_bytes", "gauge", "Bytes of the files in the cache.", "file_bytes",
         shm_catalogue_size_bytes(shared->catalogue)},
        {"file_bytes_limit", "gauge", "How many bytes there may be.", "file_bytes_limit",
         cache->folder >= 0 ? cache->limits.most_bytes : 0},
        {"memory_entries", "gauge", "Images in memory.", "memory_entries", shm_blobs_count(shared->blobs)},
        {"memory_bytes", "gauge", "Bytes of the images in memory.", "memory_bytes",
         shm_blobs_used_bytes(shared->blobs)},
        {"counted", "gauge", "1 when every file of the cache has been counted since the start.", "counted",
         atomic_load_explicit(&shared->catalogue->incomplete, memory_order_relaxed) == 0},
    };
    for (int i = 0; i < NUMBERS; i++)
        ret_number[i] = number[i];
}

enum rc worker_cache_metrics(struct worker_service *service, struct bytes *out, struct err *err)
{
    struct number number[NUMBERS];
    enum rc rc = RC_OK;
    if (service->derivatives == NULL)
        return RC_OK;
    read_numbers(worker_derivatives_cache(service->derivatives), number);
    for (int i = 0; i < NUMBERS && rc == RC_OK; i++)
        rc = bytes_format(out, err,
                          "# HELP vitrine_derivatives_%s %s\n# TYPE vitrine_derivatives_%s %s\n"
                          "vitrine_derivatives_%s %" PRIu64 "\n",
                          number[i].name, number[i].help, number[i].name, number[i].type, number[i].name,
                          number[i].value);
    return rc;
}

enum rc worker_cache_status(struct worker_service *service, struct bytes *out, struct err *err)
{
    struct number number[NUMBERS];
    enum rc rc = bytes_format(out, err, "\"renders\":%" PRIu64 ",",
                              value_of(&service->segment->counters.renders));
    if (rc != RC_OK || service->derivatives == NULL)
        return rc;
    read_numbers(worker_derivatives_cache(service->derivatives), number);
    rc = bytes_format(out, err, "\"derivatives\":{");
    for (int i = 0; i < NUMBERS && rc == RC_OK; i++)
        rc = bytes_format(out, err, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", number[i].key, number[i].value);
    return rc == RC_OK ? bytes_format(out, err, "},") : rc;
}
