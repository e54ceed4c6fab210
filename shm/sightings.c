#include "shm/sightings.h"

/* A key's entry is one of these many in a row: two cache lines. */
#define WAYS 4u

enum word { KEY, VERSION, AT_MS, CHECK };

static _Atomic uint64_t *first_way(const struct shm_sightings *sightings, const struct shm_index_key *key)
{
    size_t row = key->word[1] % (SHM_SIGHTINGS / WAYS) * WAYS;
    return (_Atomic uint64_t *)(uintptr_t)sightings->entry[row]; /* readers only load */
}

static uint64_t turn(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

/* Never 0 for an entry of zeros, which is what an untouched one is. */
static uint64_t check_of(const uint64_t word[SHM_SIGHTING_WORDS], const struct shm_index_key *key)
{
    uint64_t check = (word[KEY] ^ turn(key->word[1], 23)) * 0x9e3779b97f4a7c15u;
    check = (check ^ turn(word[VERSION], 41)) * 0xc2b2ae3d27d4eb4fu;
    return ((check ^ word[AT_MS]) * 0x165667b19e3779f9u) | 1;
}

static bool load(const _Atomic uint64_t *entry, const struct shm_index_key *key,
                 uint64_t word[SHM_SIGHTING_WORDS])
{
    for (unsigned i = 0; i < SHM_SIGHTING_WORDS; i++)
        word[i] = atomic_load_explicit(&entry[i], memory_order_relaxed);
    return word[KEY] == key->word[0] && word[CHECK] == check_of(word, key);
}

static void store(_Atomic uint64_t *entry, const uint64_t word[SHM_SIGHTING_WORDS])
{
    for (unsigned i = 0; i < SHM_SIGHTING_WORDS; i++)
        atomic_store_explicit(&entry[i], word[i], memory_order_relaxed);
}

bool shm_sightings_find(const struct shm_sightings *sightings, const struct shm_index_key *key,
                        uint64_t *ret_version, int64_t *ret_at_ms)
{
    const _Atomic uint64_t *entry = first_way(sightings, key);
    for (unsigned i = 0; i < WAYS; i++, entry += SHM_SIGHTING_WORDS) {
        uint64_t word[SHM_SIGHTING_WORDS];
        if (!load(entry, key, word))
            continue;
        *ret_version = word[VERSION];
        *ret_at_ms = (int64_t)word[AT_MS];
        return true;
    }
    return false;
}

void shm_sightings_note(struct shm_sightings *sightings, const struct shm_index_key *key, uint64_t version,
                        int64_t at_ms)
{
    _Atomic uint64_t *entry = first_way(sightings, key), *place = entry;
    uint64_t oldest = UINT64_MAX;
    uint64_t word[SHM_SIGHTING_WORDS] = {key->word[0], version, (uint64_t)at_ms, 0};
    for (unsigned i = 0; i < WAYS; i++, entry += SHM_SIGHTING_WORDS) {
        uint64_t known[SHM_SIGHTING_WORDS];
        if (load(entry, key, known)) {
            if ((int64_t)known[AT_MS] > at_ms)
                return;
            place = entry;
            break;
        }
        if (known[AT_MS] < oldest) {
            oldest = known[AT_MS];
            place = entry;
        }
    }
    word[CHECK] = check_of(word, key);
    store(place, word);
}

void shm_sightings_forget(struct shm_sightings *sightings, const struct shm_index_key *key)
{
    static const uint64_t nothing[SHM_SIGHTING_WORDS];
    _Atomic uint64_t *entry = first_way(sightings, key);
    for (unsigned i = 0; i < WAYS; i++, entry += SHM_SIGHTING_WORDS)
        if (atomic_load_explicit(&entry[KEY], memory_order_relaxed) == key->word[0])
            store(entry, nothing);
}
