#include "worker/image/tiff_record.h"

#include "worker/image/source_kinds.h"
#include "worker/image/tiff_reading.h"
#include "worker/image/tiff_tags.h"

#include <assert.h>
#include <string.h>

enum level_flag {
    KIND_IS_SAME = 1,
    TABLES_ARE_SAME = 2,
    TYPES_ARE_SAME = 4,
    COUNTS_ARE_USUAL = 8,
    PLACES_ARE_IN_ENTRY = 16,
    LENGTHS_ARE_IN_ENTRY = 32,
    HAS_NO_LENGTHS = 64,
    HAS_STRIP_TAGS = 128, /* although it is tiled */
};

enum kind_flag {
    IS_SEPARATE = 1,
    HAS_PLAIN_ROWS = 2,
};

/* ---- writing ---- */

static uint64_t usual_count(const struct image_tiff_picture *picture)
{
    return (uint64_t)picture->chunks_across * picture->chunks_down *
           (picture->separate ? picture->samples : 1);
}

static bool is_same_format(const struct image_format *a, const struct image_format *b)
{
    return a->model == b->model && a->alpha == b->alpha && a->depth_bits == b->depth_bits &&
           a->sub_x_log2 == b->sub_x_log2 && a->sub_y_log2 == b->sub_y_log2;
}

static bool is_same_plane(const struct image_tiff_plane *a, const struct image_tiff_plane *b)
{
    return a->sample == b->sample && a->mapped == b->mapped && a->flip == b->flip &&
           a->is_icc_lightness == b->is_icc_lightness && memcmp(a->map, b->map, sizeof a->map) == 0;
}

/* Member by member: between them the structs have bytes that nobody sets. */
static bool is_same_kind(const struct image_tiff_picture *a, const struct image_tiff_picture *b)
{
    bool is_same = true;
    for (size_t i = 0; i < sizeof a->plane / sizeof a->plane[0]; i++)
        is_same = is_same && is_same_plane(&a->plane[i], &b->plane[i]);
    return is_same && a->separate == b->separate && a->plain_rows == b->plain_rows &&
           a->compression == b->compression && a->photometric == b->photometric && a->bits == b->bits &&
           a->samples == b->samples && is_same_format(&a->format, &b->format);
}

static bool is_same_run(const struct bytes *a, const struct bytes *b)
{
    return a->length == b->length && (a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

static uint64_t choose_flags(const struct image_tiff_picture *picture,
                             const struct image_tiff_picture *before)
{
    bool is_first = before == NULL, has_lengths = picture->chunk_bytes.count > 0;
    bool same_kind = !is_first && is_same_kind(picture, before);
    bool same_tables = !is_first && is_same_run(&picture->jpeg_tables, &before->jpeg_tables);
    bool same_types = !is_first && picture->chunk_at.type == before->chunk_at.type &&
                      picture->chunk_bytes.type == before->chunk_bytes.type;
    bool usual_counts = picture->chunk_at.count == usual_count(picture) &&
                        (!has_lengths || picture->chunk_bytes.count == usual_count(picture));
    bool strip_tags = picture->tiled && picture->chunk_at.tag == TAG_STRIP_OFFSETS;
    return (same_kind ? KIND_IS_SAME : 0u) | (same_tables ? TABLES_ARE_SAME : 0u) |
           (same_types ? TYPES_ARE_SAME : 0u) | (usual_counts ? COUNTS_ARE_USUAL : 0u) |
           (picture->chunk_at.in_entry ? PLACES_ARE_IN_ENTRY : 0u) |
           (picture->chunk_bytes.in_entry ? LENGTHS_ARE_IN_ENTRY : 0u) | (has_lengths ? 0u : HAS_NO_LENGTHS) |
           (strip_tags ? HAS_STRIP_TAGS : 0u);
}

static void put_kind(const struct image_tiff_picture *picture, struct image_record *record)
{
    image_record_put(record,
                     (picture->separate ? IS_SEPARATE : 0u) | (picture->plain_rows ? HAS_PLAIN_ROWS : 0u));
    image_record_put(record, picture->compression);
    image_record_put(record, picture->photometric);
    image_record_put(record, picture->bits);
    image_record_put(record, picture->samples);
    image_tiff_samples_describe(picture, record);
}

static void put_field(const struct image_tiff_field *field, uint64_t flags, uint64_t ifd_at,
                      struct image_record *record)
{
    uint64_t value = 0;
    if ((flags & TYPES_ARE_SAME) == 0)
        image_record_put(record, field->type);
    if ((flags & COUNTS_ARE_USUAL) == 0)
        image_record_put(record, field->count);
    image_record_put_signed(record, (int64_t)(field->at - ifd_at));
    memcpy(&value, field->entry_value, sizeof value);
    if (field->in_entry)
        image_record_put(record, value);
}

void image_tiff_record_put(const struct image_tiff_picture *picture, const struct image_tiff_picture *before,
                           struct image_record *record)
{
    uint64_t flags = choose_flags(picture, before);
    image_record_put(record, flags);
    image_record_put_signed(record, (int64_t)(picture->ifd_at - (before == NULL ? 0 : before->ifd_at)));
    if (!picture->tiled)
        image_record_put(record, picture->chunk.height_px);
    if ((flags & KIND_IS_SAME) == 0)
        put_kind(picture, record);
    put_field(&picture->chunk_at, flags, picture->ifd_at, record);
    if ((flags & HAS_NO_LENGTHS) == 0)
        put_field(&picture->chunk_bytes, flags, picture->ifd_at, record);
    if ((flags & TABLES_ARE_SAME) == 0)
        image_record_put_part(record, &picture->jpeg_tables);
}

/* ---- reading ---- */

static enum rc get_kind(struct image_tiff_reading *r, struct image_record_reader *reader)
{
    struct image_tiff_picture *picture = r->picture;
    uint64_t flags = image_record_get(reader, IS_SEPARATE | HAS_PLAIN_ROWS);
    picture->compression = (uint16_t)image_record_get(reader, UINT16_MAX);
    picture->photometric = (uint16_t)image_record_get(reader, UINT16_MAX);
    picture->bits = (uint16_t)image_record_get(reader, 16);
    picture->samples = (uint16_t)image_record_get(reader, IMAGE_TIFF_MAX_SAMPLES);
    picture->separate = (flags & IS_SEPARATE) != 0;
    picture->plain_rows = (flags & HAS_PLAIN_ROWS) != 0;
    enum rc rc = image_tiff_reading_count_chunks(r);
    if (rc == RC_OK)
        rc = image_tiff_reading_check_compression(r);
    if (rc == RC_OK)
        rc = image_tiff_samples_restore(r, reader);
    if (rc == RC_OK)
        rc = image_tiff_reading_check_memory(r);
    if (rc != RC_OK)
        return rc;
    const struct image_format *format = &picture->format;
    bool may_be_plain = picture->compression == TIFF_NONE && !picture->tiled && picture->bits >= 8 &&
                        format->sub_x_log2 == 0 && format->sub_y_log2 == 0;
    if (reader->is_broken || (picture->separate && picture->samples < 2) ||
        (picture->plain_rows && !may_be_plain))
        return err_set(r->err, RC_CORRUPT, "the record of the TIFF contradicts itself");
    return RC_OK;
}

static bool get_field(struct image_record_reader *reader, const struct image_tiff_reading *r, uint64_t flags,
                      const struct image_tiff_field *before, bool in_entry, struct image_tiff_field *field)
{
    const struct image_tiff_picture *picture = r->picture;
    uint64_t file_bytes = r->file->file_bytes, value = 0;
    field->type = (flags & TYPES_ARE_SAME) != 0 ? before->type
                                                : (uint16_t)image_record_get(reader, TIFF_TYPE_IFD8);
    field->count = (flags & COUNTS_ARE_USUAL) != 0 ? usual_count(picture)
                                                   : image_record_get(reader, UINT64_MAX);
    field->at = picture->ifd_at + (uint64_t)image_record_get_signed(reader);
    field->in_entry = in_entry;
    if (in_entry)
        value = image_record_get(reader, UINT64_MAX);
    memcpy(field->entry_value, &value, sizeof value);
    unsigned size = image_tiff_type_bytes(field->type);
    return size > 0 && field->count >= usual_count(picture) && field->count <= file_bytes / size &&
           field->at <= file_bytes && field->count * size <= file_bytes - field->at &&
           (!in_entry || field->count * size <= sizeof field->entry_value);
}

static bool get_fields(struct image_record_reader *reader, const struct image_tiff_reading *r, uint64_t flags,
                       const struct image_tiff_picture *before)
{
    struct image_tiff_picture *picture = r->picture;
    bool strips = !picture->tiled || (flags & HAS_STRIP_TAGS) != 0,
         has_lengths = (flags & HAS_NO_LENGTHS) == 0;
    picture->chunk_at.tag = strips ? TAG_STRIP_OFFSETS : TAG_TILE_OFFSETS;
    picture->chunk_bytes.tag = strips || !has_lengths ? TAG_STRIP_BYTES : TAG_TILE_BYTES;
    return get_field(reader, r, flags, &before->chunk_at, (flags & PLACES_ARE_IN_ENTRY) != 0,
                     &picture->chunk_at) &&
           (!has_lengths || get_field(reader, r, flags, &before->chunk_bytes,
                                      (flags & LENGTHS_ARE_IN_ENTRY) != 0, &picture->chunk_bytes));
}

static enum rc get_tables(struct image_record_reader *reader, uint64_t flags,
                          const struct image_tiff_picture *before, struct bytes *tables, struct err *err)
{
    assert((flags & TABLES_ARE_SAME) == 0 || before != NULL);
    if ((flags & TABLES_ARE_SAME) != 0)
        return bytes_append(tables, before->jpeg_tables.data, before->jpeg_tables.length, err);
    image_record_get_part(reader, tables);
    return reader->is_broken ? err_set(err, RC_CORRUPT, "the record of the TIFF lacks a part") : RC_OK;
}

enum rc image_tiff_record_get(struct image_record_reader *reader, struct image_tiff_record_state *state,
                              const struct image_tiff_file *file, const struct image_level *level,
                              const struct image_source_limits *limits,
                              const struct image_tiff_picture *before, struct image_tiff_picture *picture,
                              struct err *err)
{
    struct image_tiff_reading r = {.file = file, .limits = limits, .picture = picture, .err = err};
    uint64_t flags = image_record_get(reader, UINT8_MAX);
    *picture = (struct image_tiff_picture){
        .size = level->size, .tiled = level->tile.width_px > 0, .chunk = level->tile};
    picture->ifd_at = (before == NULL ? 0 : before->ifd_at) + (uint64_t)image_record_get_signed(reader);
    if (!picture->tiled)
        picture->chunk = (struct image_size){level->size.width_px,
                                             (uint32_t)image_record_get(reader, level->size.height_px)};
    bool needs_before = (flags & (KIND_IS_SAME | TABLES_ARE_SAME | TYPES_ARE_SAME)) != 0;
    if (reader->is_broken || (needs_before && before == NULL))
        return err_set(err, RC_CORRUPT, "the record of the TIFF is broken");
    struct image_record_reader known = state->kind;
    if ((flags & KIND_IS_SAME) == 0)
        state->kind = *reader;
    enum rc rc = get_kind(&r, (flags & KIND_IS_SAME) != 0 ? &known : reader);
    static const struct image_tiff_picture none;
    if (rc == RC_OK && !get_fields(reader, &r, flags, before == NULL ? &none : before))
        rc = err_set(err, RC_CORRUPT, "the record of the TIFF names places that cannot be");
    if (rc == RC_OK)
        rc = get_tables(reader, flags, before, &picture->jpeg_tables, err);
    if (rc != RC_OK)
        image_tiff_picture_done(picture);
    return rc;
}
