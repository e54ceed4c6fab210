#include "shm/pyramid_index_batch.h"

#include "base/clock.h"
#include "base/own.h"
#include "base/turns.h"
#include "shm/pyramid_index_sweep.h"

#include <string.h>

#define QUEUE_BYTES      ((size_t)32 << 20)
#define BATCH_WRITES     512u  /* in one transaction */
#define GATHER_MS        100   /* between transactions, which wait for the disk, unless a batch is full */
#define REOPEN_MS        1000  /* until opening is tried again */
#define CHECK_READERS_MS 10000 /* between looks for readers that have died */
#define MOST_TRIES       64    /* at one batch: the mapping may double that often */

/* ---- queueing ---- */

static struct shm_index_write *write_new(enum shm_index_write_kind kind, const struct shm_index_key *key,
                                         size_t value_bytes, const struct shm_index_blob *blobs,
                                         uint32_t blob_count)
{
    size_t bytes = sizeof(struct shm_index_write) +
                   blob_count * sizeof(((struct shm_index_write *)0)->blob[0]) + value_bytes;
    for (uint32_t i = 0; i < blob_count; i++)
        bytes += SHM_INDEX_HEAD_BYTES + blobs[i].length;
    struct shm_index_write *write = malloc(bytes);
    if (write == NULL)
        return NULL;
    *write = (struct shm_index_write){
        .kind = kind, .key = *key, .all_bytes = bytes, .value_bytes = value_bytes, .blob_count = blob_count};
    for (uint32_t i = 0; i < blob_count; i++) {
        write->blob[i].id = blobs[i].id;
        write->blob[i].bytes = SHM_INDEX_HEAD_BYTES + blobs[i].length;
    }
    return write;
}

/* Takes `write` over; NULL where memory was out. */
static void submit(struct shm_index *index, struct shm_index_write *write)
{
    bool taken = false;
    pthread_mutex_lock(&index->queue_lock);
    if (write != NULL && index->queue_bytes + write->all_bytes <= QUEUE_BYTES) {
        *index->last = write;
        index->last = &write->next;
        index->queue_bytes += write->all_bytes;
        if (index->queue_count++ == 0 || index->queue_count == BATCH_WRITES)
            pthread_cond_signal(&index->queue_grew);
        taken = true;
    }
    pthread_mutex_unlock(&index->queue_lock);
    if (!taken) {
        shm_index_count(&index->options.shared->dropped, 1);
        free(write);
    }
}

void shm_index_put(struct shm_index *index, const struct shm_index_key *key, uint64_t version,
                   const struct bytes *record, const struct shm_index_blob *blobs, uint32_t blob_count)
{
    struct shm_index_name name;
    assert(blob_count <= SHM_INDEX_MAX_BLOBS);
    bool fits = record->length <= SHM_INDEX_MAX_VALUE_BYTES;
    for (uint32_t i = 0; i < blob_count; i++)
        fits = fits && blobs[i].length <= SHM_INDEX_MAX_VALUE_BYTES;
    size_t ids_bytes = 1 + 8 * (size_t)blob_count;
    struct shm_index_write *write = fits ? write_new(SHM_INDEX_WRITE_RECORD, key,
                                                     SHM_INDEX_HEAD_BYTES + ids_bytes + record->length, blobs,
                                                     blob_count)
                                         : NULL;
    if (write != NULL) {
        uint8_t *to = shm_index_write_value(write);
        to[SHM_INDEX_HEAD_BYTES] = (uint8_t)blob_count;
        for (uint32_t i = 0; i < blob_count; i++)
            memcpy(to + SHM_INDEX_HEAD_BYTES + 1 + 8 * (size_t)i, &blobs[i].id, 8);
        memcpy(to + SHM_INDEX_HEAD_BYTES + ids_bytes, record->data, record->length);
        shm_index_seal(index->options.dialect, shm_index_name_image(&name, key), version, to,
                       write->value_bytes);
        to += write->value_bytes;
        for (uint32_t i = 0; i < blob_count; i++) {
            memcpy(to + SHM_INDEX_HEAD_BYTES, blobs[i].data, blobs[i].length);
            shm_index_seal(index->options.dialect, shm_index_name_blob(&name, blobs[i].id), 0, to,
                           write->blob[i].bytes);
            to += write->blob[i].bytes;
        }
    }
    submit(index, write);
}

void shm_index_put_tiles(struct shm_index *index, const struct shm_index_key *key, uint64_t version,
                         uint32_t level, const struct bytes *tiles)
{
    struct shm_index_name name;
    assert(level <= UINT8_MAX);
    bool fits = tiles->length <= SHM_INDEX_MAX_VALUE_BYTES;
    struct shm_index_write *write =
        fits ? write_new(SHM_INDEX_WRITE_TILES, key, SHM_INDEX_HEAD_BYTES + tiles->length, NULL, 0) : NULL;
    if (write != NULL) {
        write->level = level;
        memcpy(shm_index_write_value(write) + SHM_INDEX_HEAD_BYTES, tiles->data, tiles->length);
        shm_index_seal(index->options.dialect, shm_index_name_tiles(&name, key, level), version,
                       shm_index_write_value(write), write->value_bytes);
    }
    submit(index, write);
}

void shm_index_remove(struct shm_index *index, const struct shm_index_key *key)
{
    submit(index, write_new(SHM_INDEX_WRITE_REMOVAL, key, 0, NULL, 0));
}

void shm_index_settle(struct shm_index *index)
{
    pthread_mutex_lock(&index->queue_lock);
    index->settling++;
    pthread_cond_signal(&index->queue_grew);
    while (index->first != NULL || index->is_writing)
        pthread_cond_wait(&index->queue_emptied, &index->queue_lock);
    index->settling--;
    pthread_mutex_unlock(&index->queue_lock);
}

/* ---- the file's care ---- */

/* A new file is opened before the old one is closed, so that readers never wait for the disk. */
static void exchange(struct shm_index *index)
{
    struct shm_index_file file = {0}, old;
    struct err err;
    bool opened = shm_index_file_open(&index->options, &index->file, &file, &err) == RC_OK;
    pthread_rwlock_wrlock(&index->file_lock);
    shm_index_idle_drain(index);
    old = index->file;
    index->file = opened ? file : (struct shm_index_file){0};
    if (opened)
        shm_index_idle_fill(index);
    pthread_rwlock_unlock(&index->file_lock);
    shm_index_file_close(&old);
}

static bool is_usable(const struct shm_index *index)
{
    return index->file.env != NULL && !shm_index_file_is_doubted(&index->file, index->options.shared) &&
           shm_index_file_is_there(&index->file, index->directory);
}

static bool resize(struct shm_index *index, bool grow)
{
    pthread_rwlock_wrlock(&index->file_lock);
    bool done = grow ? shm_index_file_grow(&index->file, index->options.most_bytes)
                     : shm_index_file_adopt_size(&index->file);
    pthread_rwlock_unlock(&index->file_lock);
    return done;
}

/* Readers that were killed keep the pages they saw from being used again. */
static void check_readers(struct shm_index *index)
{
    int64_t now_ms = clock_monotonic_ms();
    int dead;
    if (now_ms - index->readers_checked_ms < CHECK_READERS_MS)
        return;
    index->readers_checked_ms = now_ms;
    mdb_reader_check(index->file.env, &dead);
}

static void care(struct shm_index *index)
{
    bool wanted = atomic_exchange_explicit(&index->needs_care, false, memory_order_relaxed);
    if (!is_usable(index))
        exchange(index);
    else if (wanted)
        resize(index, false);
    if (index->file.env != NULL)
        check_readers(index);
}

/* Commits a batch, whatever has to be done to the file for it. False: it cannot be. */
static bool commit(struct shm_index *index, struct shm_index_write *batch)
{
    for (int i = 0; i < MOST_TRIES && index->file.env != NULL; i++) {
        bool must_sweep = false;
        int status = shm_index_write_batch(index, batch, &must_sweep);
        if (status == 0 && must_sweep)
            shm_index_sweep(index);
        if (status == 0)
            return true;
        if (status == MDB_MAP_RESIZED ? resize(index, false) : status == MDB_MAP_FULL && resize(index, true))
            continue;
        if (!shm_index_is_damage(status) && status != MDB_MAP_FULL && status != MDB_MAP_RESIZED)
            return false;
        shm_index_file_doubt(&index->file, index->options.shared); /* broken, or as large as it may get */
        exchange(index);
    }
    return false;
}

/* ---- the thread ---- */

static void wait_for_work(struct shm_index *index)
{
    int64_t reopen_ms = clock_monotonic_ms() + REOPEN_MS;
    while (index->first == NULL && !index->is_stopping &&
           !atomic_load_explicit(&index->needs_care, memory_order_relaxed)) {
        if (index->file.env != NULL)
            pthread_cond_wait(&index->queue_grew, &index->queue_lock);
        else if (!clock_wait_until(&index->queue_grew, &index->queue_lock, reopen_ms))
            return;
    }
}

/* Whether what is queued is to be written now. */
static bool is_urgent(const struct shm_index *index)
{
    return index->queue_count >= BATCH_WRITES || index->settling > 0 || index->is_stopping ||
           atomic_load_explicit(&index->needs_care, memory_order_relaxed);
}

/* One write alone goes at once. Of many, those that come soon after each other share a transaction. */
static void gather(struct shm_index *index)
{
    while (!is_urgent(index) &&
           clock_wait_until(&index->queue_grew, &index->queue_lock, index->written_ms + GATHER_MS))
        continue;
}

/* The first of the queue; what is beyond a batch stays. */
static struct shm_index_write *take_batch(struct shm_index *index)
{
    struct shm_index_write *batch = index->first, **end = &index->first;
    for (uint32_t i = 0; i < BATCH_WRITES && *end != NULL; i++) {
        index->queue_bytes -= (*end)->all_bytes;
        index->queue_count--;
        end = &(*end)->next;
    }
    struct shm_index_write *rest = *end;
    *end = NULL;
    index->first = rest;
    if (rest == NULL)
        index->last = &index->first;
    return batch;
}

static void free_batch(struct shm_index *index, struct shm_index_write *batch, bool was_written)
{
    struct shm_index_shared *shared = index->options.shared;
    while (batch != NULL) {
        struct shm_index_write *next = batch->next;
        if (!was_written || batch->kind == SHM_INDEX_WRITE_RECORD)
            shm_index_count(was_written ? &shared->written : &shared->dropped, 1);
        free(batch);
        batch = next;
    }
}

static void *run_writer(void *context)
{
    struct shm_index *index = context;
    bool is_over = false;
    pthread_setname_np(pthread_self(),
                       "index"); /* by itself: a worker may not open the file by which others are named */
    turns_give_way(TURNS_LARGE_WORK);
    while (!is_over) {
        pthread_mutex_lock(&index->queue_lock);
        wait_for_work(index);
        gather(index);
        struct shm_index_write *batch = take_batch(index);
        index->is_writing = true;
        pthread_mutex_unlock(&index->queue_lock);

        care(index);
        free_batch(index, batch, commit(index, batch));
        index->written_ms = clock_monotonic_ms();

        pthread_mutex_lock(&index->queue_lock);
        index->is_writing = false;
        is_over = index->is_stopping && index->first == NULL;
        if (index->first == NULL)
            pthread_cond_broadcast(&index->queue_emptied);
        pthread_mutex_unlock(&index->queue_lock);
    }
    return NULL;
}

enum rc shm_index_writer_start(struct shm_index *index, struct err *err)
{
    index->readers_checked_ms = clock_monotonic_ms(); /* opening has just looked */
    if (pthread_create(&index->writer, NULL, run_writer, index) != 0)
        return err_set(err, RC_NO_MEMORY, "no thread to write the pyramid index");
    return RC_OK;
}

void shm_index_writer_stop(struct shm_index *index)
{
    pthread_mutex_lock(&index->queue_lock);
    index->is_stopping = true;
    pthread_cond_signal(&index->queue_grew);
    pthread_mutex_unlock(&index->queue_lock);
    pthread_join(index->writer, NULL);
}

void shm_index_want_care(struct shm_index *index)
{
    if (atomic_exchange_explicit(&index->needs_care, true, memory_order_relaxed))
        return;
    pthread_mutex_lock(&index->queue_lock);
    pthread_cond_signal(&index->queue_grew);
    pthread_mutex_unlock(&index->queue_lock);
}
