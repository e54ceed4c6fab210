#include "worker/image/jpeg_coefficients.h"

#include "base/own.h"
#include "worker/image/jpeg_decoder.h"

#include <assert.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define MOST_BLOCK_BYTES (8u + 2u + 63u * 2u) /* packed */
#define ROOM_STEP        512u                 /* rows grow from scan to scan */

struct row {
    uint8_t *packed; /* NULL: zeros */
    uint32_t length, room;
};

struct image_jpeg_array {
    struct image_jpeg_array *next;
    JDIMENSION blocks, rows, most_rows; /* blocks of a row; rows; rows looked at at a time */
    struct row *row;
    JBLOCKROW *window; /* the rows looked at, unpacked */
    JBLOCK *blocks_of_window;
    uint8_t *packing; /* room for a row at its largest */
    JDIMENSION first, count;
    bool changed;
};

/* ---- a block: which of its coefficients are not zero (bit 0: whether they take two bytes), the first one, those ---- */

/* Which of a block's coefficients are not zero, all of them in one byte each, and whether each but the first fits one. */
static uint64_t narrow(const JCOEF *block, int8_t one_byte[DCTSIZE2], bool *ret_wide)
{
    uint64_t mask = 0;
#ifdef __SSE2__
    const __m128i zero = _mm_setzero_si128(), low = _mm_set1_epi16(INT8_MIN);
    __m128i beyond = zero;
    for (unsigned i = 0; i < DCTSIZE2; i += 16) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(block + i));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(block + i + 8));
        __m128i both = _mm_packs_epi16(a, b); /* saturates: what is not zero stays so */
        _mm_storeu_si128((__m128i *)(void *)(one_byte + i), both);
        mask |= (uint64_t)(~(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(both, zero)) & 0xffffu) << i;
        if (i == 0)
            a = _mm_insert_epi16(a, 0, 0);
        beyond = _mm_or_si128(beyond, _mm_or_si128(_mm_sub_epi16(a, low), _mm_sub_epi16(b, low)));
    }
    beyond = _mm_cmpeq_epi16(_mm_srli_epi16(beyond, 8), zero);
    *ret_wide = _mm_movemask_epi8(beyond) != 0xffff;
#else
    bool wide = false;
    for (unsigned i = 0; i < DCTSIZE2; i++) {
        one_byte[i] = (int8_t)block[i];
        mask |= (uint64_t)(block[i] != 0) << i;
        wide = wide || (i > 0 && block[i] != one_byte[i]);
    }
    *ret_wide = wide;
#endif
    return mask & ~(uint64_t)1;
}

static uint8_t *pack_block(const JCOEF *block, uint8_t *to)
{
    int8_t one_byte[DCTSIZE2];
    bool wide;
    uint64_t left = narrow(block, one_byte, &wide), mask = left | wide;

    memcpy(to, &mask, sizeof mask);
    memcpy(to + sizeof mask, block, sizeof *block);
    to += sizeof mask + sizeof *block;
    if (!wide) {
        for (; left != 0; left &= left - 1)
            *to++ = (uint8_t)one_byte[__builtin_ctzll(left)];
        return to;
    }
    for (; left != 0; left &= left - 1, to += sizeof *block)
        memcpy(to, &block[__builtin_ctzll(left)], sizeof *block);
    return to;
}

static const uint8_t *unpack_block(const uint8_t *from, JCOEF *block)
{
    uint64_t mask;

    memset(block, 0, sizeof(JBLOCK));
    memcpy(&mask, from, sizeof mask);
    memcpy(block, from + sizeof mask, sizeof *block);
    from += sizeof mask + sizeof *block;
    uint64_t left = mask & ~(uint64_t)1;
    if ((mask & 1) == 0) {
        for (; left != 0; left &= left - 1)
            block[__builtin_ctzll(left)] = (int8_t)*from++;
        return from;
    }
    for (; left != 0; left &= left - 1, from += sizeof *block)
        memcpy(&block[__builtin_ctzll(left)], from, sizeof *block);
    return from;
}

/* ---- rows ---- */

static bool pack_row(struct image_jpeg_array *a, JDIMENSION number, const JBLOCK *blocks)
{
    struct row *row = &a->row[number];
    uint8_t *end = a->packing;

    for (JDIMENSION i = 0; i < a->blocks; i++)
        end = pack_block(blocks[i], end);
    uint32_t length = (uint32_t)(end - a->packing);
    if (length > row->room) {
        uint32_t room = (length + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
        free(TAKE_PTR(row->packed)); /* its contents are in `packing` */
        row->room = 0;
        row->packed = malloc(room);
        if (row->packed == NULL)
            return false;
        row->room = room;
    }
    memcpy(row->packed, a->packing, length);
    row->length = length;
    return true;
}

static void unpack_row(const struct image_jpeg_array *a, JDIMENSION number, JBLOCK *blocks)
{
    const uint8_t *from = a->row[number].packed;

    if (from == NULL)
        memset(blocks, 0, a->blocks * sizeof *blocks);
    for (JDIMENSION i = 0; from != NULL && i < a->blocks; i++)
        from = unpack_block(from, blocks[i]);
}

static bool look_at(struct image_jpeg_array *a, JDIMENSION first, JDIMENSION count)
{
    for (JDIMENSION i = 0; a->changed && i < a->count; i++)
        if (!pack_row(a, a->first + i, a->window[i]))
            return false;
    a->changed = false;
    a->first = first;
    a->count = count;
    for (JDIMENSION i = 0; i < count; i++)
        unpack_row(a, first + i, a->window[i]);
    return true;
}

/* ---- libjpeg's side ---- */

__attribute__((noreturn)) static void fail(j_common_ptr libjpeg)
{
    struct image_jpeg *jpeg = libjpeg->client_data;
    image_jpeg_decoder_fail(
        jpeg, err_set(jpeg->err, RC_NO_MEMORY, "no memory for the coefficients of %s", jpeg->input.subject));
}

static void array_free(struct image_jpeg_array *a)
{
    for (JDIMENSION i = 0; a->row != NULL && i < a->rows; i++)
        free(a->row[i].packed);
    free(a->row);
    free(a->window);
    free(a->blocks_of_window);
    free(a->packing);
    free(a);
}

static jvirt_barray_ptr request(j_common_ptr libjpeg, int pool, boolean zeros, JDIMENSION blocks,
                                JDIMENSION rows, JDIMENSION most_rows)
{
    struct image_jpeg *jpeg = libjpeg->client_data;
    struct image_jpeg_array *a = calloc(1, sizeof *a);

    assert(pool == JPOOL_IMAGE && zeros && most_rows > 0);
    if (a == NULL)
        fail(libjpeg);
    a->next = jpeg->coefficients.array;
    jpeg->coefficients.array = a;
    a->blocks = blocks;
    a->rows = rows;
    a->most_rows = most_rows;
    a->row = calloc(rows, sizeof *a->row);
    a->window = calloc(most_rows, sizeof *a->window);
    a->blocks_of_window = calloc((size_t)blocks * most_rows, sizeof *a->blocks_of_window);
    a->packing = malloc((size_t)blocks * MOST_BLOCK_BYTES);
    if (a->row == NULL || a->window == NULL || a->blocks_of_window == NULL || a->packing == NULL)
        fail(libjpeg);
    for (JDIMENSION i = 0; i < most_rows; i++)
        a->window[i] = a->blocks_of_window + (size_t)i * blocks;
    return (jvirt_barray_ptr)(void *)a;
}

static JBLOCKARRAY access_rows(j_common_ptr libjpeg, jvirt_barray_ptr array, JDIMENSION first,
                               JDIMENSION count, boolean writable)
{
    struct image_jpeg_array *a = (struct image_jpeg_array *)(void *)array;

    assert(count <= a->most_rows && first <= a->rows && count <= a->rows - first);
    if ((first != a->first || count != a->count) && !look_at(a, first, count))
        fail(libjpeg);
    a->changed = a->changed || writable;
    return a->window;
}

static void realize(j_common_ptr libjpeg)
{
    const struct image_jpeg *jpeg = libjpeg->client_data;
    jpeg->coefficients.realize(libjpeg); /* ours exist from the moment they are asked for */
}

void image_jpeg_coefficients_take_over(struct image_jpeg *jpeg)
{
    struct jpeg_memory_mgr *methods = jpeg->lib.mem;

    jpeg->coefficients.realize = methods->realize_virt_arrays;
    methods->request_virt_barray = request;
    methods->access_virt_barray = access_rows;
    methods->realize_virt_arrays = realize;
}

void image_jpeg_coefficients_drop(struct image_jpeg_coefficients *coefficients)
{
    struct image_jpeg_array *a = TAKE_PTR(coefficients->array);

    while (a != NULL) {
        struct image_jpeg_array *next = a->next;
        array_free(a);
        a = next;
    }
}
