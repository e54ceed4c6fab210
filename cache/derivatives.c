#include "cache/derivatives.h"

#include "base/clock.h"
#include "base/own.h"
#include "cache/derivatives_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define COMPARE_ONE_IN 64u /* large files, of those that are found */
/* Small files; who is asked for often comes soon, and the others cost a look for somebody worth less. */
#define PROMOTE_ONE_IN    32u
#define COUNT_KEPT_ONE_IN 64u
#define COMPARE_AT_ONCE   (256u << 10)
#define MOST_EVICTED      4096u /* at a time */

uint64_t derivatives_rounded(uint64_t bytes)
{
    return (bytes + 4095) / 4096 * 4096;
}

uint64_t derivatives_next_number(struct derivatives *derivatives)
{
    return atomic_fetch_add_explicit(&derivatives->chance, 1, memory_order_relaxed);
}

/* Any number, so that what is done now and then has nothing to do with what else is done as often. */
static uint64_t next_chance(struct derivatives *derivatives)
{
    uint64_t number = derivatives_next_number(derivatives) * UINT64_C(0x9e3779b97f4a7c15);
    return (number ^ number >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 20;
}

void derivatives_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Which start of the system this is: what was written before another one may never have reached the disc. */
static uint64_t read_boot(void)
{
    char text[64];
    OWN_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text) : -1;
    return length > 0 ? bytes_hash(BYTES_HASH_START, text, (size_t)length) : 0;
}

void derivatives_init(struct derivatives *derivatives, struct shm_derivatives *shared,
                      const struct derivatives_limits *limits)
{
    *derivatives = (struct derivatives){
        .shared = shared, .folder = -1, .limits = *limits, .boot = read_boot()};
}

void derivatives_done(struct derivatives *derivatives)
{
    derivative_folders_done(&derivatives->folders);
}

/* ---- going ---- */

bool derivatives_remove_file(struct derivatives *derivatives, struct shm_key hash)
{
    char name[DERIVATIVE_NAME_BYTES];
    derivative_name(hash, name);
    bool gone = unlinkat(derivatives->folder, name, 0) == 0 || errno == ENOENT;
    if (gone)
        shm_catalogue_remove(derivatives->shared->catalogue, hash);
    return gone;
}

void derivatives_remove(struct derivatives *derivatives, struct shm_key hash)
{
    shm_blobs_remove(derivatives->shared->blobs, hash);
    if (derivatives->folder >= 0)
        derivatives_remove_file(derivatives, hash);
}

uint64_t derivatives_evict_to(struct derivatives *derivatives, uint64_t most_bytes, uint64_t most_files)
{
    struct shm_derivatives *shared = derivatives->shared;
    struct shm_catalogue_item item;
    uint64_t gone = 0;
    while (gone < MOST_EVICTED &&
           (shm_catalogue_size_bytes(shared->catalogue) > most_bytes ||
            shm_catalogue_files(shared->catalogue) > most_files) &&
           shm_catalogue_choose(shared->catalogue, shared->sketch, next_chance(derivatives), &item) &&
           derivatives_remove_file(derivatives, item.key))
        gone++;
    atomic_fetch_add_explicit(&shared->counters->evicted, gone, memory_order_relaxed);
    return gone;
}

uint64_t derivatives_evict(struct derivatives *derivatives, uint64_t more_bytes, uint64_t more_files)
{
    const struct derivatives_limits *limits = &derivatives->limits;
    if (derivatives->folder < 0)
        return 0;
    return derivatives_evict_to(derivatives,
                                more_bytes < limits->most_bytes ? limits->most_bytes - more_bytes : 0,
                                more_files < limits->most_files ? limits->most_files - more_files : 0);
}

/* ---- looking ---- */

bool derivatives_is_dead(const struct derivatives *derivatives, uint64_t epoch, int64_t made_s, uint32_t mark,
                         const char *path)
{
    int64_t most_age_s = derivatives->limits.most_age_s;
    return shm_fences_is_dead(derivatives->shared->fences, epoch, mark, path) ||
           (most_age_s > 0 && time(NULL) - made_s > most_age_s);
}

static bool is_dead(struct derivatives *derivatives, const struct derivative_key *key,
                    const struct derivative_header *header)
{
    char path[DERIVATIVE_TEXT_BYTES];
    if (atomic_load_explicit(&derivatives->shared->fences->any, memory_order_relaxed) == 0)
        path[0] = '\0'; /* nobody will look at it */
    else
        snprintf(path, sizeof path, "%.*s", (int)key->path_length, key->text + key->path_at);
    return derivatives_is_dead(derivatives, header->epoch, header->made_s, key->mark, path);
}

bool derivatives_is_purged(const struct derivatives *derivatives, const struct derivative_key *key,
                           uint64_t epoch)
{
    const struct shm_fences *fences = derivatives->shared->fences;
    char path[DERIVATIVE_TEXT_BYTES];
    if (atomic_load_explicit(&fences->any, memory_order_relaxed) == 0)
        return false;
    snprintf(path, sizeof path, "%.*s", (int)key->path_length, key->text + key->path_at);
    return shm_fences_is_fenced(fences, epoch, key->mark, path);
}

bool derivatives_may_keep(struct derivatives *derivatives, const struct derivative_key *key, uint64_t epoch)
{
    char path[DERIVATIVE_TEXT_BYTES];
    snprintf(path, sizeof path, "%.*s", (int)key->path_length, key->text + key->path_at);
    return shm_fences_may_keep(derivatives->shared->fences, epoch, key->mark, path);
}

/* What is to be done with an entry that was read: it holds, or it has to go. */
static bool is_good(struct derivatives *derivatives, const struct derivative_key *key, const uint8_t *data,
                    size_t length, struct derivative_header *ret_header)
{
    bool sound = derivative_head_check(data, length, length, key, ret_header, NULL) == RC_OK &&
                 derivative_checksum(data + ret_header->body_at, ret_header->body_bytes) ==
                     ret_header->body_checksum;
    if (!sound)
        derivatives_count(&derivatives->shared->counters->corrupt);
    return sound && !is_dead(derivatives, key, ret_header);
}

static bool find_in_memory(struct derivatives *derivatives, const struct derivative_key *key,
                           struct derivative *ret)
{
    struct shm_derivatives *shared = derivatives->shared;
    OWN(bytes_done) struct bytes bytes = {0};
    struct derivative_header header;
    if (!shm_blobs_get(shared->blobs, key->hash, shm_sketch_clock(shared->sketch), &bytes))
        return false;
    if (!is_good(derivatives, key, bytes.data, bytes.length, &header)) {
        shm_blobs_remove(shared->blobs, key->hash);
        return false;
    }
    uint64_t file_bytes; /* its file, if there is one, has been asked for as well */
    (void)!shm_catalogue_touch(shared->catalogue, key->hash, (uint32_t)time(NULL),
                               shm_sketch_clock(shared->sketch), &file_bytes);
    *ret = (struct derivative){
        .bytes = bytes, .fd = -1, .offset = header.body_at, .length = header.body_bytes};
    bytes = (struct bytes){0};
    return true;
}

/* Compares the body with its checksum. */
static bool is_whole(int fd, const struct derivative_header *header)
{
    OWN_FREE uint8_t *buffer = malloc(COMPARE_AT_ONCE);
    OWN(derivative_sum_free) struct derivative_sum *sum = derivative_sum_new();
    if (buffer == NULL || sum == NULL)
        return false;
    for (uint64_t done = 0; done < header->body_bytes;) {
        uint64_t left = header->body_bytes - done;
        size_t wanted = left < COMPARE_AT_ONCE ? (size_t)left : COMPARE_AT_ONCE;
        ssize_t length = pread(fd, buffer, wanted, (off_t)(header->body_at + done));
        if (length <= 0)
            return false;
        derivative_sum_add(sum, buffer, (size_t)length);
        done += (uint64_t)length;
    }
    return derivative_sum_value(sum) == header->body_checksum;
}

/* It has been compared since the system started. */
static void note_boot(struct derivatives *derivatives, const struct derivative_key *key,
                      const struct derivative_header *header)
{
    char name[DERIVATIVE_NAME_BYTES];
    uint8_t head[DERIVATIVE_HEAD_BYTES + 64];
    struct derivative_header noted = *header;
    noted.boot = derivatives->boot;
    derivative_head_write(&noted, key->text, head);
    derivative_name(key->hash, name);
    OWN_FD int fd = openat(derivatives->folder, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && pwrite(fd, head, sizeof noted, 0) < 0)
        return; /* then it is compared again */
}

/* A file of which `length` bytes were read and that is longer. */
static enum derivatives_found find_large(struct derivatives *derivatives, const struct derivative_key *key,
                                         int fd, const uint8_t *data, size_t length,
                                         enum derivatives_look look, struct derivative *ret)
{
    struct derivative_header header;
    struct stat status;
    if (fstat(fd, &status) < 0 ||
        derivative_head_check(data, length, (uint64_t)status.st_size, key, &header, NULL) != RC_OK) {
        derivatives_count(&derivatives->shared->counters->corrupt);
        return DERIVATIVES_MISS;
    }
    if (is_dead(derivatives, key, &header))
        return DERIVATIVES_MISS;
    if (header.boot != derivatives->boot || look == DERIVATIVES_THOROUGH ||
        (look == DERIVATIVES_QUICK && next_chance(derivatives) % COMPARE_ONE_IN == 0)) {
        if (look == DERIVATIVES_QUICK)
            return DERIVATIVES_LATER;
        if (!is_whole(fd, &header)) {
            derivatives_count(&derivatives->shared->counters->corrupt);
            return DERIVATIVES_MISS;
        }
        if (header.boot != derivatives->boot)
            note_boot(derivatives, key, &header);
    }
    *ret = (struct derivative){.fd = fd, .offset = header.body_at, .length = header.body_bytes};
    return DERIVATIVES_HIT;
}

static void promote(struct derivatives *derivatives, const struct derivative_key *key, const void *data,
                    size_t length)
{
    struct shm_derivatives *shared = derivatives->shared;
    const struct shm_blob_part part = {data, length};
    if (next_chance(derivatives) % PROMOTE_ONE_IN == 0)
        shm_blobs_put(shared->blobs, shared->sketch, key->hash, &part, 1, SHM_BLOBS_IF_WORTH);
}

static enum derivatives_found read_file(struct derivatives *derivatives, const struct derivative_key *key,
                                        int fd, uint64_t known_bytes, enum derivatives_look look,
                                        struct arena *arena, struct derivative *ret)
{
    struct derivative_header header;
    /* One byte more than there should be, to see the end. */
    size_t room = known_bytes == 0                        ? DERIVATIVES_READ_BYTES + 4096
                  : known_bytes <= DERIVATIVES_READ_BYTES ? (size_t)known_bytes + 1
                                                          : DERIVATIVE_HEAD_BYTES;
    uint8_t *data = arena_room(arena, room);
    if (data == NULL)
        return DERIVATIVES_MISS;
    ssize_t count = pread(fd, data, room, 0);
    if (count < 0) {
        derivatives_count(&derivatives->shared->counters->corrupt);
        return DERIVATIVES_MISS;
    }
    size_t length = (size_t)count;
    if (length == room)
        return find_large(derivatives, key, fd, data, length, look, ret);
    if (!is_good(derivatives, key, data, length, &header))
        return DERIVATIVES_MISS;
    promote(derivatives, key, data, length);
    *ret = (struct derivative){.bytes = {.data = data, .length = length},
                               .fd = -1,
                               .offset = header.body_at,
                               .length = header.body_bytes};
    return DERIVATIVES_HIT;
}

static enum derivatives_found find_in_file(struct derivatives *derivatives, const struct derivative_key *key,
                                           enum derivatives_look look, struct arena *arena,
                                           struct derivative *ret)
{
    struct shm_derivatives *shared = derivatives->shared;
    char name[DERIVATIVE_NAME_BYTES];
    uint64_t known_bytes = 0;
    derivative_name(key->hash, name);
    OWN_FD int fd = derivative_folders_open(&derivatives->folders, derivatives->folder, name);
    if (fd < 0 && errno != ELOOP && errno != EACCES && errno != ENXIO && errno != EIO)
        return DERIVATIVES_MISS; /* there is none, or no descriptor is free: nothing is wrong with the file */
    bool known = shm_catalogue_touch(shared->catalogue, key->hash, (uint32_t)time(NULL),
                                     shm_sketch_clock(shared->sketch), &known_bytes);
    enum derivatives_found found = fd < 0 ? DERIVATIVES_MISS
                                          : read_file(derivatives, key, fd, known_bytes, look, arena, ret);
    if (found == DERIVATIVES_MISS)
        derivatives_remove_file(derivatives, key->hash); /* it was opened, and is not what it should be */
    else if (!known)
        atomic_store_explicit(&shared->catalogue->incomplete, 1, memory_order_relaxed);
    if (found == DERIVATIVES_HIT && ret->fd >= 0)
        (void)TAKE_FD(fd); /* goes along */
    return found;
}

static void count_request(struct derivatives *derivatives, const struct derivative_key *key)
{
    struct shm_derivatives *shared = derivatives->shared;
    uint64_t kept = atomic_load_explicit(&derivatives->kept, memory_order_relaxed);
    if (kept == 0 || next_chance(derivatives) % COUNT_KEPT_ONE_IN == 0) {
        kept = shm_catalogue_files(shared->catalogue) + shm_blobs_count(shared->blobs) + 1;
        atomic_store_explicit(&derivatives->kept, kept, memory_order_relaxed);
    }
    shm_sketch_add(shared->sketch, key->hash, kept);
}

enum derivatives_found derivatives_find(struct derivatives *derivatives, const struct derivative_key *key,
                                        enum derivatives_look look, struct arena *arena,
                                        struct derivative *ret_derivative)
{
    struct shm_derivatives_counters *counters = derivatives->shared->counters;
    /* The tables are large: what is looked at in one comes while another is looked at. */
    shm_blobs_expect(derivatives->shared->blobs, key->hash);
    shm_catalogue_expect(derivatives->shared->catalogue, key->hash);
    if (look != DERIVATIVES_AGAIN)
        count_request(derivatives, key);
    if (find_in_memory(derivatives, key, ret_derivative)) {
        derivatives_count(&counters->memory_hits);
        return DERIVATIVES_HIT;
    }
    enum derivatives_found found = derivatives->folder < 0
                                       ? DERIVATIVES_MISS
                                       : find_in_file(derivatives, key, look, arena, ret_derivative);
    if (found == DERIVATIVES_HIT)
        derivatives_count(&counters->file_hits);
    else if (found == DERIVATIVES_MISS && look != DERIVATIVES_AGAIN)
        derivatives_count(&counters->misses);
    return found;
}

/* ---- keeping ---- */

struct derivative_header derivatives_make_header(struct derivatives *derivatives,
                                                 const struct derivative_key *key, uint64_t epoch,
                                                 uint64_t body_bytes, uint64_t body_checksum)
{
    return (struct derivative_header){.text_bytes = key->length,
                                      .body_bytes = body_bytes,
                                      .body_checksum = body_checksum,
                                      .hash = key->hash,
                                      .epoch = epoch,
                                      .made_s = time(NULL),
                                      .boot = derivatives->boot,
                                      .mark = key->mark};
}

bool derivatives_keep(struct derivatives *derivatives, const struct derivative_key *key, uint64_t epoch,
                      const void *body, size_t length)
{
    struct shm_derivatives *shared = derivatives->shared;
    uint8_t head[DERIVATIVE_HEAD_BYTES + 64];
    if (length == 0 || length + sizeof head > shm_blobs_most_bytes(shared->blobs) ||
        !derivatives_may_keep(derivatives, key, epoch))
        return false;
    struct derivative_header header = derivatives_make_header(derivatives, key, epoch, length,
                                                              derivative_checksum(body, length));
    derivative_head_write(&header, key->text, head);
    const struct shm_blob_part part[] = {{head, header.body_at}, {body, length}};
    if (!shm_blobs_put(shared->blobs, shared->sketch, key->hash, part, 2, SHM_BLOBS_ALWAYS))
        return false;
    bool stays = derivatives_may_keep(derivatives, key, epoch); /* still */
    if (!stays)
        shm_blobs_remove(shared->blobs, key->hash);
    return stays;
}
