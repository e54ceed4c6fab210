#include "cache/derivative_entry.h"

#include "base/digits.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h> /* twice as fast where the processor has AVX2 */
#endif

#define MAGIC UINT64_C(0x3144524556544956) /* "VITVERD1" where the lowest byte comes first */

/* ---- keys ---- */

uint32_t derivative_mark(const char *path)
{
    return (uint32_t)XXH3_64bits(path, strlen(path));
}

enum rc derivative_key_make(struct derivative_key *key, uint64_t version_hash, uint64_t options_hash,
                            uint32_t page, const char *path, const char *canonical)
{
    const size_t most_before_bytes = 16 + 1 + 16 + 1 + 10 + 1;
    size_t path_bytes = strlen(path), canonical_bytes = strlen(canonical);
    if (path_bytes >= sizeof key->text || canonical_bytes >= sizeof key->text ||
        most_before_bytes + path_bytes + 1 + canonical_bytes >= sizeof key->text)
        return RC_TOO_LARGE;
    char *to = digits_hex(key->text, version_hash, 16);
    *to++ = ' ';
    to = digits_hex(to, options_hash, 16);
    *to++ = ' ';
    to = digits_decimal(to, page);
    *to++ = ' ';
    key->path_at = (uint32_t)(to - key->text);
    key->path_length = (uint32_t)path_bytes;
    to = mempcpy(to, path, path_bytes);
    *to++ = ' ';
    to = mempcpy(to, canonical, canonical_bytes);
    *to = '\0';
    key->length = (uint32_t)(to - key->text);
    key->mark = derivative_mark(path);
    XXH128_hash_t hash = XXH3_128bits(key->text, key->length);
    key->hash = (struct shm_key){hash.low64 != 0 ? hash.low64 : 1, hash.high64};
    return RC_OK;
}

/* Behind the third blank, up to the last one: a canonical request has none. */
void derivative_text_path(const char *text, size_t length, char ret_path[DERIVATIVE_TEXT_BYTES])
{
    const char *begin = text, *end = memrchr(text, ' ', length);
    ret_path[0] = '\0';
    for (int blanks = 0; blanks < 3; blanks++) {
        begin = memchr(begin, ' ', length - (size_t)(begin - text));
        if (begin == NULL || begin >= end)
            return;
        begin++;
    }
    if (end - begin < DERIVATIVE_TEXT_BYTES) {
        memcpy(ret_path, begin, (size_t)(end - begin));
        ret_path[end - begin] = '\0';
    }
}

/* ---- headers ---- */

size_t derivative_body_at(uint32_t text_bytes)
{
    return (sizeof(struct derivative_header) + text_bytes + 63) / 64 * 64;
}

static uint64_t head_checksum(const struct derivative_header *header, const char *text)
{
    return XXH3_64bits_withSeed(text, header->text_bytes,
                                XXH3_64bits(header, offsetof(struct derivative_header, checksum)));
}

void derivative_head_write(struct derivative_header *header, const char *text, uint8_t *to)
{
    header->magic = MAGIC;
    header->body_at = (uint32_t)derivative_body_at(header->text_bytes);
    header->reserved = 0;
    header->checksum = head_checksum(header, text);
    memset(to, 0, header->body_at);
    memcpy(to, header, sizeof *header);
    memcpy(to + sizeof *header, text, header->text_bytes);
}

enum rc derivative_head_read(const uint8_t *data, size_t length, uint64_t size_bytes,
                             struct derivative_header *ret_header, const char **ret_text, struct err *err)
{
    struct derivative_header header;
    if (length < sizeof header)
        return err_set(err, RC_CORRUPT, "a cached derivative is cut off in its header");
    memcpy(&header, data, sizeof header);
    if (header.magic != MAGIC)
        return err_set(err, RC_CORRUPT, "what lies in the cache is no derivative of this version");
    if (header.text_bytes > DERIVATIVE_TEXT_BYTES || length - sizeof header < header.text_bytes ||
        header.body_at != derivative_body_at(header.text_bytes))
        return err_set(err, RC_CORRUPT, "a cached derivative is cut off in its key");
    const char *text = (const char *)data + sizeof header;
    if (header.checksum != head_checksum(&header, text))
        return err_set(err, RC_CORRUPT, "a cached derivative's header does not fit its checksum");
    if (size_bytes < header.body_at || size_bytes - header.body_at != header.body_bytes)
        return err_set(err, RC_CORRUPT, "a cached derivative is not as long as it says");
    *ret_header = header;
    *ret_text = text;
    return RC_OK;
}

enum rc derivative_head_check(const uint8_t *data, size_t length, uint64_t size_bytes,
                              const struct derivative_key *key, struct derivative_header *ret_header,
                              struct err *err)
{
    struct derivative_header header;
    const char *text = NULL;
    enum rc rc = derivative_head_read(data, length, size_bytes, &header, &text, err);
    if (rc != RC_OK)
        return rc;
    if (header.text_bytes != key->length || memcmp(text, key->text, key->length) != 0 ||
        header.hash.low != key->hash.low || header.hash.high != key->hash.high || header.mark != key->mark)
        return err_set(err, RC_CORRUPT, "a cached derivative is of another key");
    *ret_header = header;
    return RC_OK;
}

/* ---- checksums ---- */

uint64_t derivative_checksum(const void *data, size_t length)
{
    return XXH3_64bits(data, length);
}

/* A struct derivative_sum is the library's state under a name that others may know. */

struct derivative_sum *derivative_sum_new(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state != NULL)
        XXH3_64bits_reset(state);
    return (struct derivative_sum *)state;
}

void derivative_sum_add(struct derivative_sum *sum, const void *data, size_t length)
{
    XXH3_64bits_update((XXH3_state_t *)sum, data, length);
}

uint64_t derivative_sum_value(const struct derivative_sum *sum)
{
    return XXH3_64bits_digest((const XXH3_state_t *)sum);
}

void derivative_sum_free(struct derivative_sum **sum)
{
    XXH3_freeState((XXH3_state_t *)*sum);
    *sum = NULL;
}

/* ---- names ---- */

void derivative_name(struct shm_key hash, char ret_name[DERIVATIVE_NAME_BYTES])
{
    char *to = digits_hex(ret_name, hash.high >> 56, 2);
    *to++ = '/';
    *digits_hex(digits_hex(to, hash.high, 14), hash.low, 16) = '\0';
}

static bool read_hex(const char *text, size_t digits, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = text[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 16;
        if (digit > 15)
            return false;
        value = value << 4 | digit;
    }
    *ret = value;
    return true;
}

bool derivative_name_read(const char *folder, const char *file, struct shm_key *ret_hash)
{
    uint64_t first, middle, low;
    if (strlen(folder) != 2 || strlen(file) != 30 || !read_hex(folder, 2, &first) ||
        !read_hex(file, 14, &middle) || !read_hex(file + 14, 16, &low))
        return false;
    *ret_hash = (struct shm_key){low, first << 56 | middle};
    return low != 0;
}
