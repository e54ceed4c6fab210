#include "shm/troubles.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t checksum_of(const struct shm_trouble *trouble)
{
    return bytes_hash(BYTES_HASH_START, &trouble->number, sizeof *trouble - sizeof trouble->checksum);
}

void shm_troubles_add(struct shm_troubles *troubles, uint32_t level, const char *id, const char *text)
{
    struct shm_trouble trouble = {.level = level, .pid = (int32_t)getpid()};
    uint64_t words[SHM_TROUBLES_WORDS];
    trouble.number = atomic_fetch_add_explicit(&troubles->next, 1, memory_order_relaxed) + 1;
    trouble.time_ms = clock_wall_ms();
    snprintf(trouble.id, sizeof trouble.id, "%s", id);
    snprintf(trouble.text, sizeof trouble.text, "%s", text);
    trouble.checksum = checksum_of(&trouble);
    memcpy(words, &trouble, sizeof words);
    _Atomic uint64_t *entry = troubles->entry[trouble.number % SHM_TROUBLES_ENTRIES];
    for (unsigned i = 0; i < SHM_TROUBLES_WORDS; i++)
        atomic_store_explicit(&entry[i], words[i], memory_order_relaxed);
}

uint64_t shm_troubles_count(const struct shm_troubles *troubles)
{
    return atomic_load_explicit(&troubles->next, memory_order_relaxed);
}

bool shm_troubles_get(const struct shm_troubles *troubles, uint64_t number, struct shm_trouble *ret_trouble)
{
    struct shm_trouble trouble;
    uint64_t words[SHM_TROUBLES_WORDS];
    const _Atomic uint64_t *entry = troubles->entry[number % SHM_TROUBLES_ENTRIES];
    for (unsigned i = 0; i < SHM_TROUBLES_WORDS; i++)
        words[i] = atomic_load_explicit(&entry[i], memory_order_relaxed);
    memcpy(&trouble, words, sizeof trouble);
    if (number == 0 || trouble.number != number || trouble.checksum != checksum_of(&trouble))
        return false;
    trouble.id[sizeof trouble.id - 1] = trouble.text[sizeof trouble.text - 1] = '\0';
    *ret_trouble = trouble;
    return true;
}
