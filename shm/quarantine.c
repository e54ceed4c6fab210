#include "shm/quarantine.h"

#include "base/bytes.h"

#include <string.h>

/* A key's entry is one of these many in a row. */
#define WAYS 8u

static uint64_t make_key(const char *path, uint32_t page, uint64_t version_hash)
{
    const uint64_t words[] = {page, version_hash};
    uint64_t key = bytes_hash(bytes_hash(BYTES_HASH_START, words, sizeof words), path, strlen(path));
    return key != 0 ? key : 1;
}

static uint64_t make_checksum(const struct shm_quarantine_case *one)
{
    return bytes_hash(BYTES_HASH_START, &one->key, sizeof *one - offsetof(struct shm_quarantine_case, key));
}

static uint32_t first_way(uint64_t key)
{
    return (uint32_t)(key % (SHM_QUARANTINE_ENTRIES / WAYS)) * WAYS;
}

static uint64_t key_at(const struct shm_quarantine *quarantine, uint32_t index)
{
    return atomic_load_explicit(&quarantine->entry[index][1], memory_order_relaxed);
}
static_assert(offsetof(struct shm_quarantine_case, key) == 8, "the key is the second word");

bool shm_quarantine_get(const struct shm_quarantine *quarantine, uint32_t index, int64_t now_ms,
                        struct shm_quarantine_case *ret_case)
{
    uint64_t word[SHM_QUARANTINE_WORDS];
    struct shm_quarantine_case one;
    if (key_at(quarantine, index) == 0)
        return false;
    for (uint32_t i = 0; i < SHM_QUARANTINE_WORDS; i++)
        word[i] = atomic_load_explicit(&quarantine->entry[index][i], memory_order_relaxed);
    memcpy(&one, word, sizeof one);
    if (one.checksum != make_checksum(&one) || one.until_ms <= now_ms)
        return false;
    one.path[sizeof one.path - 1] = '\0';
    *ret_case = one;
    return true;
}

static void put(struct shm_quarantine *quarantine, uint32_t index, const struct shm_quarantine_case *one)
{
    uint64_t word[SHM_QUARANTINE_WORDS];
    memcpy(word, one, sizeof word);
    for (uint32_t i = 0; i < SHM_QUARANTINE_WORDS; i++)
        atomic_store_explicit(&quarantine->entry[index][i], word[i], memory_order_relaxed);
}

bool shm_quarantine_is_used(const struct shm_quarantine *quarantine, int64_t now_ms)
{
    return atomic_load_explicit(&quarantine->last_until_ms, memory_order_relaxed) > now_ms;
}

/* The entry of a key, and where it is; false when it is not there. */
static bool find(const struct shm_quarantine *quarantine, uint64_t key, const char *path, int64_t now_ms,
                 struct shm_quarantine_case *ret_case, uint32_t *ret_index)
{
    for (uint32_t index = first_way(key), end = index + WAYS; index < end; index++)
        if (key_at(quarantine, index) == key && shm_quarantine_get(quarantine, index, now_ms, ret_case) &&
            ret_case->key == key && ret_case->path_bytes == strlen(path) &&
            strncmp(ret_case->path, path, sizeof ret_case->path - 1) == 0) {
            *ret_index = index;
            return true;
        }
    return false;
}

int64_t shm_quarantine_left_ms(const struct shm_quarantine *quarantine, const char *path, uint32_t page,
                               uint64_t version_hash, int64_t now_ms)
{
    struct shm_quarantine_case one;
    uint32_t index;
    if (!shm_quarantine_is_used(quarantine, now_ms) ||
        !find(quarantine, make_key(path, page, version_hash), path, now_ms, &one, &index))
        return 0;
    return one.until_ms - now_ms;
}

/* Where a new entry goes: the first that is none, else the one that ends first. */
static uint32_t choose(const struct shm_quarantine *quarantine, uint64_t key, int64_t now_ms)
{
    uint32_t best = first_way(key);
    int64_t earliest_ms = INT64_MAX;
    for (uint32_t index = best, end = index + WAYS; index < end; index++) {
        struct shm_quarantine_case one;
        if (!shm_quarantine_get(quarantine, index, now_ms, &one))
            return index;
        if (one.until_ms < earliest_ms) {
            earliest_ms = one.until_ms;
            best = index;
        }
    }
    return best;
}

bool shm_quarantine_add(struct shm_quarantine *quarantine, const char *path, uint32_t page,
                        uint64_t version_hash, uint32_t fault_signal, uint32_t strikes, int64_t now_ms,
                        int64_t duration_ms)
{
    uint64_t key = make_key(path, page, version_hash);
    struct shm_quarantine_case one;
    uint32_t index;
    bool is_new = !find(quarantine, key, path, now_ms, &one, &index);
    if (is_new) {
        index = choose(quarantine, key, now_ms);
        size_t length = strlen(path);
        one = (struct shm_quarantine_case){.key = key, .page = page, .path_bytes = (uint32_t)length};
        memcpy(one.path, path, length < sizeof one.path ? length : sizeof one.path - 1);
    }
    one.until_ms = now_ms + duration_ms;
    one.fault_signal = fault_signal;
    one.strikes = strikes;
    one.checksum = make_checksum(&one);
    put(quarantine, index, &one);
    int64_t last_ms = atomic_load_explicit(&quarantine->last_until_ms, memory_order_relaxed);
    while (last_ms < one.until_ms &&
           !atomic_compare_exchange_weak_explicit(&quarantine->last_until_ms, &last_ms, one.until_ms,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    return is_new;
}
