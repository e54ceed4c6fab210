#include "worker/image/record.h"

#include <string.h>

#define NUMBER_BYTES 10u /* of 64 bits, seven each */

void image_record_done(struct image_record *record)
{
    bytes_done(&record->bytes);
}

/* ---- writing ---- */

static size_t encode(uint64_t number, uint8_t *to)
{
    size_t length = 0;
    for (; number > 0x7f; number >>= 7)
        to[length++] = (uint8_t)(number | 0x80);
    to[length++] = (uint8_t)number;
    return length;
}

/* Small of either sign becomes small. */
static uint64_t fold(int64_t number)
{
    return (uint64_t)number << 1 ^ (uint64_t)(number >> 63);
}

static int64_t unfold(uint64_t number)
{
    return (int64_t)(number >> 1 ^ (0 - (number & 1)));
}

void image_record_put(struct image_record *record, uint64_t number)
{
    uint8_t coded[NUMBER_BYTES];
    if (record->rc == RC_OK)
        record->rc = bytes_append(&record->bytes, coded, encode(number, coded), NULL);
}

void image_record_put_signed(struct image_record *record, int64_t number)
{
    image_record_put(record, fold(number));
}

static void note_part(struct image_record *record, const struct image_record_part *part)
{
    for (uint32_t i = 0; i < record->part_count; i++)
        if (record->part[i].id == part->id)
            return;
    if (record->part_count == IMAGE_RECORD_MAX_PARTS)
        record->rc = RC_UNSUPPORTED;
    else
        record->part[record->part_count++] = *part;
}

void image_record_put_part(struct image_record *record, const struct bytes *part)
{
    image_record_put(record, part->length > 0);
    if (part->length == 0)
        return;
    struct image_record_part noted = {
        .id = record->library->id(part->data, part->length), .data = part->data, .length = part->length};
    if (record->rc == RC_OK)
        record->rc = bytes_append(&record->bytes, &noted.id, sizeof noted.id, NULL);
    note_part(record, &noted);
}

/* ---- reading ---- */

uint64_t image_record_get(struct image_record_reader *reader, uint64_t most)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && reader->next < reader->end && !reader->is_broken; shift += 7) {
        uint8_t byte = *reader->next++;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte > 0x7f)
            continue;
        if (number > most || (shift == 63 && byte > 1))
            break;
        return number;
    }
    reader->is_broken = true;
    return 0;
}

int64_t image_record_get_signed(struct image_record_reader *reader)
{
    return unfold(image_record_get(reader, UINT64_MAX));
}

void image_record_get_part(struct image_record_reader *reader, struct bytes *out)
{
    uint64_t id;
    if (image_record_get(reader, 1) == 0)
        return;
    if ((size_t)(reader->end - reader->next) < sizeof id) {
        reader->is_broken = true;
        return;
    }
    memcpy(&id, reader->next, sizeof id);
    reader->next += sizeof id;
    if (!reader->library->load(reader->library->context, id, out))
        reader->is_broken = true;
}

/* ---- places ---- */

enum rc image_record_pack_places(const struct image_record_place *place, uint32_t count, struct bytes *out,
                                 struct err *err)
{
    uint64_t expected = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t coded[2 * NUMBER_BYTES];
        size_t length = encode(place[i].length_bytes, coded);
        if (place[i].length_bytes > 0) {
            length += encode(fold((int64_t)(place[i].at - expected)), coded + length);
            expected = place[i].at + place[i].length_bytes;
        }
        enum rc rc = bytes_append(out, coded, length, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

bool image_record_unpack_places(const struct bytes *packed, uint64_t file_bytes, uint32_t count,
                                struct image_record_place *ret_place)
{
    struct image_record_reader reader = {.next = packed->data, .end = packed->data + packed->length};
    uint64_t expected = 0;
    for (uint32_t i = 0; i < count && !reader.is_broken; i++) {
        uint32_t length = (uint32_t)image_record_get(&reader, UINT32_MAX);
        ret_place[i] = (struct image_record_place){0};
        if (length == 0)
            continue;
        uint64_t at = expected + (uint64_t)image_record_get_signed(&reader);
        if (at > file_bytes || length > file_bytes - at)
            return false;
        ret_place[i] = (struct image_record_place){at, length};
        expected = at + length;
    }
    return !reader.is_broken && reader.next == reader.end;
}
