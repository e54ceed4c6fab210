#include "worker/ingest/tiff_directory.h"

#include "worker/image/tiff_ifd.h"

#include <stdlib.h>
#include <string.h>

void ingest_tiff_directory_done(struct ingest_tiff_directory *d)
{
    free(d->entry);
    bytes_done(&d->values);
}

void ingest_tiff_put(uint8_t *to, unsigned width_bytes, uint64_t value)
{
    for (unsigned i = 0; i < width_bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static struct ingest_tiff_entry *directory_find(struct ingest_tiff_directory *d, uint16_t tag)
{
    for (uint32_t i = 0; i < d->count; i++)
        if (d->entry[i].tag == tag)
            return &d->entry[i];
    return NULL;
}

uint8_t *ingest_tiff_add(struct ingest_tiff_directory *d, uint16_t tag, uint16_t type, uint64_t count,
                         size_t length)
{
    if (d->rc != RC_OK || directory_find(d, tag) != NULL)
        return NULL;
    if (d->count == d->capacity) {
        uint32_t capacity = d->capacity == 0 ? 64 : 2 * d->capacity;
        struct ingest_tiff_entry *more = realloc(d->entry, capacity * sizeof *more);
        if (more == NULL) {
            d->rc = err_set(d->err, RC_NO_MEMORY, "no memory for a directory of the pyramid");
            return NULL;
        }
        d->entry = more;
        d->capacity = capacity;
    }
    d->rc = bytes_reserve(&d->values, length, d->err);
    if (d->rc != RC_OK)
        return NULL;
    d->entry[d->count++] = (struct ingest_tiff_entry){
        .tag = tag, .type = type, .count = count, .at = d->values.length, .length = length};
    uint8_t *to = d->values.data + d->values.length;
    d->values.length += length;
    return to;
}

void ingest_tiff_add_numbers(struct ingest_tiff_directory *d, uint16_t tag, uint16_t type, unsigned count,
                             const uint32_t *number)
{
    unsigned width = type == TIFF_TYPE_SHORT ? 2 : 4;
    uint8_t *to = ingest_tiff_add(d, tag, type, count, (size_t)width * count);

    for (unsigned i = 0; to != NULL && i < count; i++)
        ingest_tiff_put(to + i * width, width, number[i]);
}

void ingest_tiff_add_short(struct ingest_tiff_directory *d, uint16_t tag, uint32_t number)
{
    ingest_tiff_add_numbers(d, tag, TIFF_TYPE_SHORT, 1, &number);
}

void ingest_tiff_add_long(struct ingest_tiff_directory *d, uint16_t tag, uint32_t number)
{
    ingest_tiff_add_numbers(d, tag, TIFF_TYPE_LONG, 1, &number);
}

void ingest_tiff_add_bytes(struct ingest_tiff_directory *d, uint16_t tag, uint16_t type, const void *data,
                           size_t length)
{
    uint8_t *to = length > 0 ? ingest_tiff_add(d, tag, type, length, length) : NULL;

    if (to != NULL)
        memcpy(to, data, length);
}

void ingest_tiff_add_link(struct ingest_tiff_directory *d, uint16_t tag, uint64_t at)
{
    uint8_t *to = ingest_tiff_add(d, tag, d->big ? TIFF_TYPE_IFD8 : TIFF_TYPE_LONG, 1, d->big ? 8 : 4);

    if (to != NULL)
        ingest_tiff_put(to, d->big ? 8 : 4, at);
}

/* ---- a directory's bytes ---- */

static int by_tag(const void *one, const void *other)
{
    const struct ingest_tiff_entry *a = one, *b = other;
    return (int)a->tag - (int)b->tag;
}

static size_t head_bytes(const struct ingest_tiff_directory *d)
{
    return d->big ? 8 + (size_t)d->count * 20 + 8 : 2 + (size_t)d->count * 12 + 4;
}

size_t ingest_tiff_directory_bytes(const struct ingest_tiff_directory *d)
{
    size_t length = head_bytes(d), inside = d->big ? 8 : 4;

    for (uint32_t i = 0; i < d->count; i++)
        if (d->entry[i].length > inside)
            length += d->entry[i].length + d->entry[i].length % 2;
    return length + length % 2;
}

enum rc ingest_tiff_directory_write(struct ingest_tiff_directory *d, uint64_t at, uint64_t next,
                                    struct bytes *out, struct err *err)
{
    size_t all = ingest_tiff_directory_bytes(d), start = out->length, values = head_bytes(d);
    enum rc rc = d->rc == RC_OK ? bytes_reserve(out, all, err) : d->rc;

    if (rc != RC_OK)
        return rc;
    unsigned wide = d->big ? 8 : 4, entry_bytes = d->big ? 20 : 12;
    uint8_t *to = out->data + start, *entry = to + (d->big ? 8 : 2);
    qsort(d->entry, d->count, sizeof *d->entry, by_tag);
    memset(to, 0, all);
    ingest_tiff_put(to, d->big ? 8 : 2, d->count);
    for (uint32_t i = 0; i < d->count; i++, entry += entry_bytes) {
        const struct ingest_tiff_entry *e = &d->entry[i];
        ingest_tiff_put(entry, 2, e->tag);
        ingest_tiff_put(entry + 2, 2, e->type);
        ingest_tiff_put(entry + 4, wide, e->count);
        bool inside = e->length <= wide;
        memcpy(inside ? entry + 4 + wide : to + values, d->values.data + e->at, e->length);
        if (inside)
            continue;
        ingest_tiff_put(entry + 4 + wide, wide, at + values);
        values += e->length + e->length % 2;
    }
    ingest_tiff_put(entry, wide, next);
    out->length += all;
    return RC_OK;
}
