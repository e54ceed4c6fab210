#include "worker/image/tiff_ifd.h"

#include "base/own.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(off_t) == 8, "files may be larger than 2 GiB");

static uint16_t get16(const struct image_tiff_file *file, const uint8_t *p)
{
    return file->big_endian ? bytes_be16(p) : bytes_le16(p);
}

uint32_t image_tiff_get32(const struct image_tiff_file *file, const uint8_t *p)
{
    return file->big_endian ? bytes_be32(p) : bytes_le32(p);
}

static uint64_t get64(const struct image_tiff_file *file, const uint8_t *p)
{
    uint64_t first = image_tiff_get32(file, p), second = image_tiff_get32(file, p + 4);
    return file->big_endian ? first << 32 | second : second << 32 | first;
}

bool image_tiff_recognise(const uint8_t *start)
{
    struct image_tiff_file order = {.big_endian = start[0] == 'M'};
    if (start[0] != start[1] || (start[0] != 'M' && start[0] != 'I'))
        return false;
    uint16_t version = get16(&order, start + 2);
    return version == 42 || version == 43;
}

enum rc image_tiff_file_init(struct image_tiff_file *file, struct image_blob *blob, struct err *err)
{
    uint8_t head[16] = {0};
    uint64_t file_bytes = blob->size_bytes;
    size_t length = file_bytes < sizeof head ? (size_t)file_bytes : sizeof head;
    enum rc rc = image_blob_read(blob, head, length, 0, err);
    if (rc != RC_OK)
        return rc;
    *file = (struct image_tiff_file){.blob = blob, .file_bytes = file_bytes, .big_endian = head[0] == 'M'};
    if (length < 8 || !image_tiff_recognise(head))
        return err_set(err, RC_CORRUPT, "the TIFF header is broken");
    file->big_tiff = get16(file, head + 2) == 43;
    if (file->big_tiff && (length < 16 || get16(file, head + 4) != 8))
        return err_set(err, RC_CORRUPT, "the BigTIFF header is broken");
    file->first_ifd = file->big_tiff ? get64(file, head + 8) : image_tiff_get32(file, head + 4);
    return RC_OK;
}

unsigned image_tiff_type_bytes(unsigned type)
{
    static const uint8_t size[] = {
        [TIFF_TYPE_BYTE] = 1,      [TIFF_TYPE_ASCII] = 1,    [TIFF_TYPE_SHORT] = 2,
        [TIFF_TYPE_LONG] = 4,      [TIFF_TYPE_RATIONAL] = 8, [TIFF_TYPE_SBYTE] = 1,
        [TIFF_TYPE_UNDEFINED] = 1, [TIFF_TYPE_SSHORT] = 2,   [TIFF_TYPE_SLONG] = 4,
        [TIFF_TYPE_SRATIONAL] = 8, [TIFF_TYPE_FLOAT] = 4,    [TIFF_TYPE_DOUBLE] = 8,
        [TIFF_TYPE_IFD] = 4,       [TIFF_TYPE_LONG8] = 8,    [TIFF_TYPE_SLONG8] = 8,
        [TIFF_TYPE_IFD8] = 8,
    };
    return type < sizeof size ? size[type] : 0;
}

/* Reads as much as there is, at most `length` bytes; `at` lies inside the file. */
static enum rc tiff_read_some(const struct image_tiff_file *file, uint64_t at, uint8_t *data, size_t length,
                              size_t *ret_length, struct err *err)
{
    uint64_t left = file->file_bytes - at;
    *ret_length = left < length ? (size_t)left : length;
    return image_blob_read(file->blob, data, *ret_length, at, err);
}

/* Takes the entries over into ifd->field, which has room for all of them. */
static void tiff_take_entries(const struct image_tiff_file *file, struct image_tiff_ifd *ifd,
                              const uint8_t *entries, uint64_t entries_at, uint64_t count)
{
    unsigned entry_bytes = file->big_tiff ? 20 : 12, inline_bytes = file->big_tiff ? 8 : 4;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *p = entries + i * entry_bytes;
        struct image_tiff_field field = {.tag = get16(file, p), .type = get16(file, p + 2)};
        field.count = file->big_tiff ? get64(file, p + 4) : image_tiff_get32(file, p + 4);
        unsigned size = image_tiff_type_bytes(field.type);
        if (size == 0 || field.count == 0 || field.count > file->file_bytes / size)
            continue;
        uint64_t length = field.count * size;
        field.at = entries_at + i * entry_bytes + (entry_bytes - inline_bytes);
        memcpy(field.entry_value, p + entry_bytes - inline_bytes, inline_bytes);
        field.in_entry = length <= inline_bytes;
        if (!field.in_entry)
            field.at = file->big_tiff ? get64(file, p + 12) : image_tiff_get32(file, p + 8);
        if (field.at <= file->file_bytes && length <= file->file_bytes - field.at)
            ifd->field[ifd->field_count++] = field;
    }
}

enum rc image_tiff_ifd_read(const struct image_tiff_file *file, uint64_t at, struct image_tiff_ifd *ret_ifd,
                            struct err *err)
{
    /* One read suffices for what writers make; the second is for directories with very many entries. */
    uint8_t start[1024];
    unsigned count_bytes = file->big_tiff ? 8 : 2, entry_bytes = file->big_tiff ? 20 : 12;
    unsigned next_bytes = file->big_tiff ? 8 : 4;
    if (at < 8 || at >= file->file_bytes || file->file_bytes - at < count_bytes + next_bytes)
        return err_set(err, RC_CORRUPT, "a TIFF directory lies beyond the end of the file");
    size_t got = 0;
    enum rc rc = tiff_read_some(file, at, start, sizeof start, &got, err);
    if (rc != RC_OK)
        return rc;
    if (got < count_bytes)
        return err_set(err, RC_CORRUPT, "the file ends inside a TIFF directory");
    uint64_t count = file->big_tiff ? get64(file, start) : get16(file, start);
    if (count == 0 || count > IMAGE_TIFF_MAX_FIELDS)
        return err_set(err, RC_CORRUPT, "a TIFF directory claims to have %llu entries",
                       (unsigned long long)count);
    size_t length = (size_t)count * entry_bytes;
    if (file->file_bytes - at - count_bytes < length + next_bytes)
        return err_set(err, RC_CORRUPT, "the file ends inside a TIFF directory");

    OWN_FREE uint8_t *long_one = NULL;
    const uint8_t *entries = start + count_bytes;
    if (got < count_bytes + length + next_bytes) {
        long_one = malloc(length + next_bytes);
        if (long_one == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for a TIFF directory");
        rc = image_blob_read(file->blob, long_one, length + next_bytes, at + count_bytes, err);
        if (rc != RC_OK)
            return rc;
        entries = long_one;
    }
    struct image_tiff_ifd ifd = {.at = at, .field = calloc((size_t)count, sizeof *ifd.field)};
    if (ifd.field == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a TIFF directory");
    tiff_take_entries(file, &ifd, entries, at + count_bytes, count);
    ifd.next = file->big_tiff ? get64(file, entries + length) : image_tiff_get32(file, entries + length);
    *ret_ifd = ifd;
    return RC_OK;
}

void image_tiff_ifd_done(struct image_tiff_ifd *ifd)
{
    free(ifd->field);
    *ifd = (struct image_tiff_ifd){0};
}

const struct image_tiff_field *image_tiff_ifd_find(const struct image_tiff_ifd *ifd, uint16_t tag)
{
    for (uint32_t i = 0; i < ifd->field_count; i++)
        if (ifd->field[i].tag == tag)
            return &ifd->field[i];
    return NULL;
}

static bool tiff_is_whole_number(unsigned type)
{
    return type == TIFF_TYPE_BYTE || type == TIFF_TYPE_SHORT || type == TIFF_TYPE_LONG ||
           type == TIFF_TYPE_IFD || type == TIFF_TYPE_LONG8 || type == TIFF_TYPE_IFD8 ||
           type == TIFF_TYPE_UNDEFINED;
}

enum rc image_tiff_numbers(const struct image_tiff_file *file, const struct image_tiff_field *field,
                           uint64_t first, uint32_t count, uint64_t *ret_numbers, struct err *err)
{
    if (!tiff_is_whole_number(field->type) || first > field->count || count > field->count - first)
        return err_set(err, RC_CORRUPT, "TIFF tag %u has too few values or values of a wrong type",
                       field->tag);
    unsigned size = image_tiff_type_bytes(field->type);
    uint8_t part[2048];
    uint64_t at = field->at + first * size;
    for (uint32_t done = 0; done < count;) {
        uint32_t some = (uint32_t)(sizeof part / size) < count - done ? (uint32_t)(sizeof part / size)
                                                                      : count - done;
        const uint8_t *p = part;
        if (field->in_entry) {
            p = field->entry_value + first * size;
        } else {
            enum rc rc = file->never_waits
                             ? image_blob_read_resident(file->blob, part, (size_t)some * size, at, err)
                             : image_blob_read(file->blob, part, (size_t)some * size, at, err);
            if (rc != RC_OK)
                return rc;
        }
        for (uint32_t i = 0; i < some; i++, p += size)
            ret_numbers[done + i] = size == 1   ? *p
                                    : size == 2 ? get16(file, p)
                                    : size == 4 ? image_tiff_get32(file, p)
                                                : get64(file, p);
        done += some;
        at += (uint64_t)some * size;
    }
    return RC_OK;
}

enum rc image_tiff_number(const struct image_tiff_file *file, const struct image_tiff_ifd *ifd, uint16_t tag,
                          uint64_t preset, uint64_t *ret_number, struct err *err)
{
    const struct image_tiff_field *field = image_tiff_ifd_find(ifd, tag);
    if (field != NULL)
        return image_tiff_numbers(file, field, 0, 1, ret_number, err);
    *ret_number = preset;
    return RC_OK;
}

enum rc image_tiff_payload(const struct image_tiff_file *file, const struct image_tiff_field *field,
                           uint64_t most_bytes, struct bytes *out, struct err *err)
{
    uint64_t length = field->count * image_tiff_type_bytes(field->type);
    if (length > most_bytes)
        return RC_OK;
    enum rc rc = bytes_reserve(out, (size_t)length, err);
    if (rc != RC_OK)
        return rc;
    rc = image_blob_read(file->blob, out->data + out->length, (size_t)length, field->at, err);
    if (rc == RC_OK)
        out->length += (size_t)length;
    return rc;
}
