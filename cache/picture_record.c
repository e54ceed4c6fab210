#include "cache/picture_record.h"

#include "base/own.h"

#include <assert.h>
#include <string.h>

#define HEAD_BYTES 8u /* the modification time */

static_assert(IMAGE_RECORD_MAX_PARTS <= SHM_INDEX_MAX_BLOBS, "all parts of a record fit one entry");

uint64_t picture_record_dialect(const struct image_source_limits *limits)
{
    const uint64_t parts[] = {IMAGE_RECORD_DIALECT, limits->max_source_pixels, limits->max_decode_bytes};
    return bytes_hash(BYTES_HASH_START, parts, sizeof parts);
}

void picture_record_done(struct picture_record *record)
{
    bytes_done(&record->record);
}

bool picture_record_find(struct shm_index *index, const struct shm_index_key *key, uint64_t version,
                         bool may_wait, struct picture_record *ret_record)
{
    OWN(bytes_done) struct bytes value = {0};
    uint64_t found = 0;
    if (index == NULL || !shm_index_get(index, key, may_wait, &found, &value) || found != version ||
        value.length < HEAD_BYTES)
        return false;
    memcpy(&ret_record->modified_s, value.data, HEAD_BYTES);
    value.length -= HEAD_BYTES;
    memmove(value.data, value.data + HEAD_BYTES, value.length);
    ret_record->record = value;
    value = (struct bytes){0};
    return true;
}

static const struct image_record_library naming = {.id = shm_index_blob_id};

void picture_record_keep(struct shm_index *index, const struct shm_index_key *key, uint64_t version,
                         int64_t modified_s, const struct image_source *source)
{
    OWN(image_record_done) struct image_record record = {.rc = RC_OK};
    OWN(bytes_done) struct bytes value = {0};
    struct shm_index_blob blob[IMAGE_RECORD_MAX_PARTS];

    if (index == NULL || image_source_describe(source, &naming, &record, NULL) != RC_OK ||
        bytes_append(&value, &modified_s, HEAD_BYTES, NULL) != RC_OK ||
        bytes_append(&value, record.bytes.data, record.bytes.length, NULL) != RC_OK)
        return; /* it is parsed again next time */
    for (uint32_t i = 0; i < record.part_count; i++)
        blob[i] = (struct shm_index_blob){record.part[i].id, record.part[i].data, record.part[i].length};
    shm_index_put(index, key, version, &value, blob, record.part_count);
}

static bool load_part(void *context, uint64_t id, struct bytes *out)
{
    return shm_index_get_blob(context, id, out);
}

enum rc picture_record_restore(struct shm_index *index, const struct picture_record *record,
                               struct image_blob *blob, const struct image_source_limits *limits,
                               struct image_source **ret_source, struct err *err)
{
    const struct image_record_library library = {
        .id = shm_index_blob_id, .load = load_part, .context = index};
    return image_source_restore(&record->record, &library, blob, limits, ret_source, err);
}

/* ---- tiles ---- */

static bool load_tiles(struct image_source_shelf *slot, uint32_t level, struct bytes *out)
{
    struct picture_shelf *shelf = (struct picture_shelf *)slot;
    return shm_index_get_tiles(shelf->index, &shelf->key, shelf->version, level, out);
}

static void store_tiles(struct image_source_shelf *slot, uint32_t level, const struct bytes *tiles)
{
    struct picture_shelf *shelf = (struct picture_shelf *)slot;
    shm_index_put_tiles(shelf->index, &shelf->key, shelf->version, level, tiles);
}

void picture_shelf_init(struct picture_shelf *shelf, struct shm_index *index, const struct shm_index_key *key,
                        uint64_t version)
{
    *shelf = (struct picture_shelf){.shelf = {.load_tiles = load_tiles, .store_tiles = store_tiles},
                                    .index = index,
                                    .key = *key,
                                    .version = version};
}
