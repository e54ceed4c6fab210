#include "worker/image/resample_filter.h"

#include <string.h>

/* Fractional bits between the steps, and what each step shifts out of its sums. */
#define BITS             6
#define DEEP_BITS        4
#define DOWN_SHIFT       (IMAGE_RESAMPLE_ONE_LOG2 - BITS)
#define DOWN_DEEP_SHIFT  (IMAGE_RESAMPLE_ONE_LOG2 - DEEP_BITS)
#define ALONG_SHIFT      (IMAGE_RESAMPLE_ONE_LOG2 + BITS)
#define ALONG_DEEP_SHIFT (IMAGE_RESAMPLE_ONE_LOG2 + DEEP_BITS)
#define HALF(shift)      (1 << ((shift)-1))

/* ---- plain C ---- */

/* Sums are collected for so many columns at a time; a constant, so that the compiler vectorises at -O2. */
#define COLUMNS 32u

static void add_row(const uint8_t *restrict row, int16_t weight, int32_t *restrict sum)
{
    for (uint32_t i = 0; i < COLUMNS; i++)
        sum[i] += row[i] * weight;
}

static void add_deep_row(const uint16_t *restrict row, int16_t weight, int32_t *restrict sum)
{
    for (uint32_t i = 0; i < COLUMNS; i++)
        sum[i] += row[i] * weight;
}

/* Chunk `chunk` of COLUMNS columns begins here. The last one ends with the row, and so overlaps the one
 * before. */
static uint32_t column_of(const struct image_resample_part *part, uint32_t chunk)
{
    uint32_t x = chunk * COLUMNS;
    return part->width - x >= COLUMNS || part->width < COLUMNS ? x : part->width - COLUMNS;
}

static uint32_t chunks_of(const struct image_resample_part *part)
{
    return (part->width + COLUMNS - 1) / COLUMNS;
}

/* The sums of one chunk after this part. */
static void sum_columns(const struct image_resample_part *part, uint32_t chunk, bool deep,
                        int32_t sum[COLUMNS])
{
    const size_t sample_bytes = deep ? 2 : 1;
    int32_t *kept = part->sum + (size_t)chunk * COLUMNS;

    if (part->begins)
        memset(sum, 0, COLUMNS * sizeof *sum);
    else
        memcpy(sum, kept, COLUMNS * sizeof *sum);
    for (uint32_t i = 0; i < part->count; i++) {
        const uint8_t *row = part->rows[i] + column_of(part, chunk) * sample_bytes;
        uint16_t narrow[COLUMNS]; /* what lies behind the row may not be there */
        if (part->width < COLUMNS) {
            memset(narrow, 0, sizeof narrow);
            row = memcpy(narrow, row, part->width * sample_bytes);
        }
        if (deep)
            add_deep_row((const uint16_t *)(const void *)row, part->weights[i], sum);
        else
            add_row(row, part->weights[i], sum);
    }
    if (!part->ends)
        memcpy(kept, sum, COLUMNS * sizeof *sum);
}

static void plain_down(const struct image_resample_part *part, int16_t *to)
{
    for (uint32_t chunk = 0; chunk < chunks_of(part); chunk++) {
        int32_t sum[COLUMNS];
        int16_t *at = to + column_of(part, chunk);
        sum_columns(part, chunk, false, sum);
        for (uint32_t i = 0; part->ends && i < COLUMNS; i++)
            at[i] = (int16_t)((sum[i] + HALF(DOWN_SHIFT)) >> DOWN_SHIFT);
    }
}

static void plain_down_deep(const struct image_resample_part *part, int32_t *to)
{
    for (uint32_t chunk = 0; chunk < chunks_of(part); chunk++) {
        int32_t sum[COLUMNS];
        int32_t *at = to + column_of(part, chunk);
        sum_columns(part, chunk, true, sum);
        for (uint32_t i = 0; part->ends && i < COLUMNS; i++)
            at[i] = (sum[i] + HALF(DOWN_DEEP_SHIFT)) >> DOWN_DEEP_SHIFT;
    }
}

static void plain_along(const int16_t *from, const struct image_resample_taps *x, uint8_t *to)
{
    const int16_t *weight = x->weight;

    for (uint32_t i = 0; i < x->outputs; i++, weight += x->stride) {
        const int16_t *sample = from + x->first[i];
        int32_t sum = HALF(ALONG_SHIFT);
        for (uint32_t tap = 0; tap < x->taps; tap++)
            sum += sample[tap] * weight[tap];
        sum >>= ALONG_SHIFT;
        to[i] = (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
    }
}

static void plain_along_deep(const int32_t *from, const struct image_resample_taps *x, uint16_t *to)
{
    const int16_t *weight = x->weight;

    for (uint32_t i = 0; i < x->outputs; i++, weight += x->stride) {
        const int32_t *sample = from + x->first[i];
        int64_t sum = HALF(ALONG_DEEP_SHIFT);
        for (uint32_t tap = 0; tap < x->taps; tap++)
            sum += (int64_t)sample[tap] * weight[tap];
        sum >>= ALONG_DEEP_SHIFT;
        to[i] = (uint16_t)(sum < 0 ? 0 : sum > 65535 ? 65535 : sum);
    }
}

const struct image_resample_filter image_resample_filter_plain = {plain_down, plain_down_deep, plain_along,
                                                                  plain_along_deep};

/* ---- AVX2 ---- */

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2        __attribute__((target("avx2")))
#define AVX2_INLINE __attribute__((target("avx2"), always_inline)) static inline

/* Adds two rows of 32 columns to sums that lie as unpacking leaves them. */
AVX2_INLINE void add_pair(const uint8_t *one, const uint8_t *two, __m256i weights, __m256i sum[4])
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)one),
            b = _mm256_loadu_si256((const __m256i *)(const void *)two), low = _mm256_unpacklo_epi8(a, b),
            high = _mm256_unpackhi_epi8(a, b);
    sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(_mm256_unpacklo_epi8(low, zero), weights));
    sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(_mm256_unpackhi_epi8(low, zero), weights));
    sum[2] = _mm256_add_epi32(sum[2], _mm256_madd_epi16(_mm256_unpacklo_epi8(high, zero), weights));
    sum[3] = _mm256_add_epi32(sum[3], _mm256_madd_epi16(_mm256_unpackhi_epi8(high, zero), weights));
}

AVX2_INLINE void store_columns(__m256i sum[4], int16_t *to)
{
    const __m256i half = _mm256_set1_epi32(HALF(DOWN_SHIFT));
    for (int i = 0; i < 4; i++)
        sum[i] = _mm256_srai_epi32(_mm256_add_epi32(sum[i], half), DOWN_SHIFT);
    __m256i low = _mm256_packs_epi32(sum[0], sum[1]), high = _mm256_packs_epi32(sum[2], sum[3]);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256((__m256i *)(void *)(to + 16), _mm256_permute2x128_si256(low, high, 0x31));
}

/* The columns from x on, as many as `wide` times 32; their sums are kept at `kept`. */
AVX2_INLINE void down_columns(const struct image_resample_part *part, uint32_t x, int wide, int32_t *kept,
                              int16_t *to)
{
    const int16_t *weights = part->weights;
    __m256i sum[2][4];
    uint32_t i = 0;

    for (int k = 0; k < 4 * wide; k++)
        sum[k / 4][k % 4] = part->begins ? _mm256_setzero_si256()
                                         : _mm256_loadu_si256((const __m256i *)(const void *)(kept + 8 * k));
    for (; i + 1 < part->count; i += 2) {
        int32_t pair;
        memcpy(&pair, weights + i, sizeof pair);
        for (int k = 0; k < wide; k++)
            add_pair(part->rows[i] + x + 32 * k, part->rows[i + 1] + x + 32 * k, _mm256_set1_epi32(pair),
                     sum[k]);
    }
    for (int k = 0; i < part->count && k < wide; k++)
        add_pair(part->rows[i] + x + 32 * k, part->rows[i] + x + 32 * k,
                 _mm256_set1_epi32((uint16_t)weights[i]), sum[k]);
    for (int k = 0; part->ends && k < wide; k++)
        store_columns(sum[k], to + x + 32 * k);
    for (int k = 0; !part->ends && k < 4 * wide; k++)
        _mm256_storeu_si256((__m256i *)(void *)(kept + 8 * k), sum[k / 4][k % 4]);
}

AVX2 static void avx2_down(const struct image_resample_part *part, int16_t *to)
{
    uint32_t chunk = 0, chunks = chunks_of(part);

    if (part->width < COLUMNS) {
        plain_down(part, to);
        return;
    }
    for (; (chunk + 2) * COLUMNS <= part->width; chunk += 2)
        down_columns(part, chunk * COLUMNS, 2, part->sum + (size_t)chunk * COLUMNS, to);
    for (; chunk < chunks; chunk++)
        down_columns(part, column_of(part, chunk), 1, part->sum + (size_t)chunk * COLUMNS, to);
}

AVX2_INLINE __m256i two_of_eight(const int16_t *one, const int16_t *two)
{
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)one),
            high = _mm_loadu_si128((const __m128i *)(const void *)two);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

AVX2_INLINE __m256i four_of_four(const int16_t *from, const uint32_t *first)
{
    int64_t four[4];
    for (int i = 0; i < 4; i++)
        memcpy(&four[i], from + first[i], sizeof four[i]);
    return _mm256_set_epi64x(four[3], four[2], four[1], four[0]);
}

/* Two outputs' partial sums, four each. */
AVX2_INLINE __m256i sum_two(const int16_t *from, const uint32_t *first, const int16_t *weight,
                            uint32_t stride)
{
    __m256i sum = _mm256_madd_epi16(two_of_eight(from + first[0], from + first[1]),
                                    two_of_eight(weight, weight + stride));
    for (uint32_t tap = 8; tap < stride; tap += 8)
        sum = _mm256_add_epi32(sum,
                               _mm256_madd_epi16(two_of_eight(from + first[0] + tap, from + first[1] + tap),
                                                 two_of_eight(weight + tap, weight + stride + tap)));
    return sum;
}

/* Eight sums to eight samples, their lower 16 bits in order 0 2 4 6 | 1 3 5 7 or, by twos, 01 45 | 23 67. */
AVX2_INLINE __m256i rounded(__m256i sum)
{
    sum = _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(HALF(ALONG_SHIFT))), ALONG_SHIFT);
    return _mm256_packs_epi32(sum, sum);
}

AVX2_INLINE void along_by_eight(const int16_t *from, const struct image_resample_taps *x, uint32_t stride,
                                uint8_t *to)
{
    const int16_t *weight = x->weight;

    for (uint32_t i = 0; i < x->outputs; i += 8, weight += (size_t)8 * stride) {
        const uint32_t *first = x->first + i;
        __m256i a = sum_two(from, first, weight, stride),
                b = sum_two(from, first + 2, weight + (size_t)2 * stride, stride),
                c = sum_two(from, first + 4, weight + (size_t)4 * stride, stride),
                d = sum_two(from, first + 6, weight + (size_t)6 * stride, stride);
        __m256i words = rounded(_mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d)));
        __m128i even = _mm256_castsi256_si128(words), odd = _mm256_extracti128_si256(words, 1);
        __m128i all = _mm_unpacklo_epi16(even, odd);
        _mm_storel_epi64((__m128i *)(void *)(to + i), _mm_packus_epi16(all, all));
    }
}

AVX2_INLINE void along_by_four(const int16_t *from, const struct image_resample_taps *x, uint8_t *to)
{
    const int16_t *weight = x->weight;

    for (uint32_t i = 0; i < x->outputs; i += 8, weight += 32) {
        const uint32_t *first = x->first + i;
        __m256i a = _mm256_madd_epi16(four_of_four(from, first),
                                      _mm256_loadu_si256((const __m256i *)(const void *)weight)),
                b = _mm256_madd_epi16(four_of_four(from, first + 4),
                                      _mm256_loadu_si256((const __m256i *)(const void *)(weight + 16)));
        __m256i words = rounded(_mm256_hadd_epi32(a, b));
        __m128i all = _mm_unpacklo_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storel_epi64((__m128i *)(void *)(to + i), _mm_packus_epi16(all, all));
    }
}

AVX2 static void avx2_along(const int16_t *from, const struct image_resample_taps *x, uint8_t *to)
{
    if (x->stride == 4)
        along_by_four(from, x, to);
    else if (x->stride == 8)
        along_by_eight(from, x, 8, to);
    else
        along_by_eight(from, x, x->stride, to);
}

const struct image_resample_filter *image_resample_filter_best(void)
{
    static const struct image_resample_filter avx2 = {avx2_down, plain_down_deep, avx2_along,
                                                      plain_along_deep};
    return __builtin_cpu_supports("avx2") ? &avx2 : &image_resample_filter_plain;
}

#else

const struct image_resample_filter *image_resample_filter_best(void)
{
    return &image_resample_filter_plain;
}

#endif
