#include "worker/admin_cache.h"

#include <inttypes.h>

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* One number of a cache, by its names in /metrics and /status. */
struct number {
    const char *name, *type, *help, *key;
    uint64_t value;
};
#define NUMBERS 23

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
        {"tier_hits_total", "counter", "Images answered from the lower tier.", "tier_hits",
         value_of(&counters->tier_hits)},
        {"tier_misses_total", "counter", "Images that the lower tier does not have.", "tier_misses",
         value_of(&counters->tier_misses)},
        {"tier_failures_total", "counter", "Questions that the lower tier did not answer, or not in time.",
         "tier_failures", value_of(&counters->tier_failures)},
        {"tier_stored_total", "counter", "Images written to the lower tier.", "tier_stored",
         value_of(&counters->tier_stored)},
        {"tier_refused_total", "counter", "Images that could not be written to the lower tier.",
         "tier_refused", value_of(&counters->tier_refused)},
        {"tier_evicted_total", "counter", "Files removed from the lower tier to make room.", "tier_evicted",
         value_of(&counters->tier_evicted)},
        {"tier_bytes", "gauge", "Bytes in the lower tier's directory, as far as this server knows.",
         "tier_bytes", value_of(&counters->tier_swept_bytes) + value_of(&counters->tier_written_bytes)},
        {"tier_known", "gauge",
         "1 once it has been read what others have purged from the lower tier, which is asked from then on.",
         "tier_known", atomic_load_explicit(&counters->tier_known_ms, memory_order_relaxed) != 0},
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

#define INDEX_NUMBERS 6

static void read_index_numbers(const struct shm_index_shared *shared, struct number ret_number[INDEX_NUMBERS])
{
    const struct number number[INDEX_NUMBERS] = {
        {"hits_total", "counter", "Pictures that were found in the index.", "hits", value_of(&shared->hits)},
        {"misses_total", "counter", "Pictures that were looked up in vain.", "misses",
         value_of(&shared->misses)},
        {"refused_total", "counter", "Values that were there and damaged or of another making.", "refused",
         value_of(&shared->refused)},
        {"records_total", "counter", "Pictures written.", "records", value_of(&shared->written)},
        {"dropped_total", "counter", "Values that could not be written.", "dropped",
         value_of(&shared->dropped)},
        {"rebuilt_total", "counter", "Times the whole index was begun anew.", "rebuilt",
         value_of(&shared->generation)},
    };
    for (int i = 0; i < INDEX_NUMBERS; i++)
        ret_number[i] = number[i];
}

static enum rc write_metrics(const char *what, const struct number *number, int count, struct bytes *out,
                             struct err *err)
{
    enum rc rc = RC_OK;
    for (int i = 0; i < count && rc == RC_OK; i++)
        rc = bytes_format(out, err,
                          "# HELP vitrine_%s_%s %s\n# TYPE vitrine_%s_%s %s\nvitrine_%s_%s %" PRIu64 "\n",
                          what, number[i].name, number[i].help, what, number[i].name, number[i].type, what,
                          number[i].name, number[i].value);
    return rc;
}

static enum rc write_status(const char *what, const struct number *number, int count, struct bytes *out,
                            struct err *err)
{
    enum rc rc = bytes_format(out, err, "\"%s\":{", what);
    for (int i = 0; i < count && rc == RC_OK; i++)
        rc = bytes_format(out, err, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", number[i].key, number[i].value);
    return rc == RC_OK ? bytes_format(out, err, "},") : rc;
}

enum rc worker_cache_metrics(struct worker_service *service, struct bytes *out, struct err *err)
{
    struct number number[NUMBERS], index[INDEX_NUMBERS];
    read_index_numbers(&service->segment->index, index);
    enum rc rc = write_metrics("index", index, INDEX_NUMBERS, out, err);
    if (rc != RC_OK || service->derivatives == NULL)
        return rc;
    read_numbers(worker_derivatives_cache(service->derivatives), number);
    return write_metrics("derivatives", number, NUMBERS, out, err);
}

enum rc worker_cache_status(struct worker_service *service, struct bytes *out, struct err *err)
{
    struct number number[NUMBERS], index[INDEX_NUMBERS];
    enum rc rc = bytes_format(out, err, "\"renders\":%" PRIu64 ",",
                              value_of(&service->segment->counters.renders));
    read_index_numbers(&service->segment->index, index);
    if (rc == RC_OK)
        rc = write_status("index", index, INDEX_NUMBERS, out, err);
    if (rc != RC_OK || service->derivatives == NULL)
        return rc;
    read_numbers(worker_derivatives_cache(service->derivatives), number);
    return write_status("derivatives", number, NUMBERS, out, err);
}
