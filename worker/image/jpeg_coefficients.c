#include "worker/image/jpeg_coefficients.h"

#include "base/own.h"
#include "worker/image/jpeg_decoder.h"

#include <assert.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define MOST_BLOCK_BYTES (sizeof(struct head) + sizeof(JBLOCK))
#define BEHIND_BYTES     8u   /* what is not there is read and written too */
#define ROOM_STEP        512u /* rows grow from scan to scan */

struct row {
    uint8_t *packed; /* NULL: zeros */
    uint32_t room;
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

/* ---- a block ----
 * Its first coefficient, then the eights of the others in which not all are zero, in one byte each; or all in two bytes each where
 * one does not fit. Without branches that depend on the picture: every eight is read and written, and moved over or not. */

struct head {
    JCOEF first;
    uint8_t eights; /* bit n: the eight from 8 n on is there */
    bool wide;
};

/* All coefficients in one byte each, 0 for the first. False: one does not fit. */
static bool narrow(const JCOEF *block, int8_t to[DCTSIZE2])
{
#ifdef __SSE2__
    const __m128i low = _mm_set1_epi16(INT8_MIN), zero = _mm_setzero_si128();
    __m128i beyond = zero;
    for (unsigned i = 0; i < DCTSIZE2; i += 16) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(block + i));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(block + i + 8));
        if (i == 0)
            a = _mm_insert_epi16(a, 0, 0);
        _mm_storeu_si128((__m128i *)(void *)(to + i), _mm_packs_epi16(a, b));
        beyond = _mm_or_si128(beyond, _mm_or_si128(_mm_sub_epi16(a, low), _mm_sub_epi16(b, low)));
    }
    return _mm_movemask_epi8(_mm_cmpeq_epi16(_mm_srli_epi16(beyond, 8), zero)) == 0xffff;
#else
    bool fits = true;
    to[0] = 0;
    for (unsigned i = 1; i < DCTSIZE2; i++) {
        to[i] = (int8_t)block[i];
        fits = fits && to[i] == block[i];
    }
    return fits;
#endif
}

static void widen_eight(uint64_t eight, JCOEF *to)
{
#ifdef __SSE2__
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)&eight);
    _mm_storeu_si128((__m128i *)(void *)to, _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8));
#else
    int8_t byte[8];
    memcpy(byte, &eight, sizeof byte);
    for (unsigned i = 0; i < 8; i++)
        to[i] = byte[i];
#endif
}

static uint8_t *pack_block(const JCOEF *block, uint8_t *to)
{
    int8_t byte[DCTSIZE2];
    struct head head = {.first = block[0], .wide = !narrow(block, byte)};
    uint8_t *at = to + sizeof head;

    if (head.wide) {
        memcpy(at, block, sizeof(JBLOCK));
        at += sizeof(JBLOCK);
    }
    for (unsigned n = 0; n < 8 && !head.wide; n++) {
        uint64_t eight;
        memcpy(&eight, byte + 8 * n, sizeof eight);
        memcpy(at, &eight, sizeof eight);
        bool there = eight != 0;
        at += there ? 8 : 0;
        head.eights |= (uint8_t)(there << n);
    }
    memcpy(to, &head, sizeof head);
    return at;
}

static const uint8_t *unpack_block(const uint8_t *from, JCOEF *block)
{
    struct head head;

    memcpy(&head, from, sizeof head);
    from += sizeof head;
    if (head.wide) {
        memcpy(block, from, sizeof(JBLOCK));
        return from + sizeof(JBLOCK);
    }
    for (unsigned n = 0; n < 8; n++) {
        uint64_t eight, there = (unsigned)head.eights >> n & 1u;
        memcpy(&eight, from, sizeof eight);
        widen_eight(eight & (0 - there), block + 8 * n);
        from += 8 * there;
    }
    block[0] = head.first;
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
    if (length + BEHIND_BYTES > row->room) {
        uint32_t room = (length + BEHIND_BYTES + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
        free(TAKE_PTR(row->packed)); /* its contents are in `packing` */
        row->room = 0;
        row->packed = malloc(room);
        if (row->packed == NULL)
            return false;
        row->room = room;
    }
    memcpy(row->packed, a->packing, length + BEHIND_BYTES);
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
    a->window = calloc(most_rows, sizeof(JBLOCKROW));
    a->blocks_of_window = calloc((size_t)blocks * most_rows, sizeof *a->blocks_of_window);
    a->packing = calloc(1, (size_t)blocks * MOST_BLOCK_BYTES + BEHIND_BYTES);
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
