#include "cache/denials.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/own.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SETS 1024u
#define WAYS 4u

struct denial {
    char *path; /* NULL: the place is free */
    uint32_t root;
    int64_t said_ms, until_ms;
    bool is_asked; /* again, behind what others fetch */
};

struct denials {
    int64_t lasts_ms;
    pthread_mutex_t mutex;
    struct denial denial[SETS][WAYS];
};

struct denials *denials_new(int64_t lasts_ms)
{
    struct denials *denials = calloc(1, sizeof *denials);
    if (denials == NULL)
        return NULL;
    denials->lasts_ms = lasts_ms;
    pthread_mutex_init(&denials->mutex, NULL);
    return denials;
}

void denials_free(struct denials **slot)
{
    struct denials *denials = TAKE_PTR(*slot);
    if (denials == NULL)
        return;
    for (uint32_t i = 0; i < SETS; i++)
        for (uint32_t j = 0; j < WAYS; j++)
            free(denials->denial[i][j].path);
    pthread_mutex_destroy(&denials->mutex);
    free(denials);
}

static struct denial *set_of(struct denials *denials, uint32_t root, const char *path)
{
    uint64_t hash = bytes_hash(BYTES_HASH_START + root, path, strlen(path));
    return denials->denial[(hash ^ hash >> 32) % SETS];
}

/* Under the lock. */
static struct denial *find(struct denials *denials, uint32_t root, const char *path)
{
    struct denial *set = set_of(denials, root, path);
    for (uint32_t i = 0; i < WAYS; i++)
        if (set[i].path != NULL && set[i].root == root && strcmp(set[i].path, path) == 0)
            return &set[i];
    return NULL;
}

bool denials_holds(struct denials *denials, uint32_t root, const char *path)
{
    pthread_mutex_lock(&denials->mutex);
    const struct denial *denial = find(denials, root, path);
    bool holds = denial != NULL && clock_monotonic_ms() < denial->until_ms;
    pthread_mutex_unlock(&denials->mutex);
    return holds;
}

void denials_note(struct denials *denials, uint32_t root, const char *path)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&denials->mutex);
    struct denial *denial = find(denials, root, path);
    if (denial == NULL) {
        struct denial *set = set_of(denials, root, path);
        denial = set;
        for (struct denial *other = set + 1; other < set + WAYS; other++)
            if (other->until_ms < denial->until_ms)
                denial = other;
        free(denial->path);
        *denial = (struct denial){.path = strdup(path), .root = root};
    }
    denial->said_ms = now_ms;
    denial->is_asked = false;
    denial->until_ms = denial->path != NULL ? now_ms + denials->lasts_ms : 0;
    pthread_mutex_unlock(&denials->mutex);
}

bool denials_renew(struct denials *denials, uint32_t root, const char *path, int64_t most_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&denials->mutex);
    struct denial *denial = find(denials, root, path);
    bool is_young = denial != NULL && now_ms - denial->said_ms < most_ms;
    if (is_young) {
        denial->until_ms = now_ms + denials->lasts_ms;
        denial->is_asked = false;
    }
    pthread_mutex_unlock(&denials->mutex);
    return is_young;
}

bool denials_prolong(struct denials *denials, uint32_t root, const char *path, int64_t most_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&denials->mutex);
    struct denial *denial = find(denials, root, path);
    int64_t age_ms = denial == NULL ? INT64_MAX : now_ms - denial->said_ms;
    bool asks = age_ms < most_ms && age_ms >= denials->lasts_ms && !denial->is_asked;
    if (age_ms < most_ms) {
        denial->until_ms = now_ms + denials->lasts_ms;
        denial->is_asked = denial->is_asked || asks;
    }
    pthread_mutex_unlock(&denials->mutex);
    return asks;
}

void denials_drop(struct denials *denials, uint32_t root, const char *path)
{
    pthread_mutex_lock(&denials->mutex);
    struct denial *denial = find(denials, root, path);
    if (denial != NULL) {
        free(denial->path);
        *denial = (struct denial){.path = NULL};
    }
    pthread_mutex_unlock(&denials->mutex);
}
