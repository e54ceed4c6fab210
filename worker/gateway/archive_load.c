#include "base/bytes.h"
#include "base/fdio.h"
#include "base/own.h"
#include "worker/gateway/archive.h"
#include "worker/gateway/archive_map.h"
#include "worker/iiif/percent.h"
#include "worker/iiif/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NO_LINE        UINT32_MAX
#define MAX_TEXT_BYTES (UINT64_C(1) << 33)
#define MAX_LINES      (NO_LINE - 1)

/* A line that says something. Its two identifiers stand decoded in the text, each with its length before it
 * replaced. */
struct archive_line {
    uint64_t hash; /* of the old identifier */
    uint64_t old_at, new_at;
    uint64_t number;               /* in the file, from 1 */
    uint16_t old_bytes, new_bytes; /* new_bytes 0: gone */
    uint32_t next;                 /* the line that retires the new identifier, or NO_LINE */
    uint32_t end;                  /* the last line of the chain, once it is known, else NO_LINE */
};

struct archive_loading {
    char *text; /* its identifiers are decoded in place */
    size_t text_bytes;
    struct stat stat;
    struct archive_line *line; /* sorted by hash, then by identifier, once all are read */
    uint32_t count, capacity;
    gateway_problem *problem;
    void *context;
    uint64_t problems;
    struct err first;
};

static void loading_done(struct archive_loading *loading)
{
    free(loading->text);
    free(loading->line);
}

static void refuse(struct archive_loading *loading, uint64_t number, const char *sentence)
{
    if (loading->problems++ == 0)
        err_set(&loading->first, RC_CORRUPT, "line %" PRIu64 ": %s", number, sentence);
    if (loading->problem != NULL)
        loading->problem(number, sentence, loading->context);
}

/* ---- reading lines ---- */

static enum rc read_text(struct archive_loading *loading, int fd, const char *name, struct err *err)
{
    if (fstat(fd, &loading->stat) != 0)
        return err_set_errno(err, RC_IO, errno, "the list of retired identifiers %s", name);
    if (!S_ISREG(loading->stat.st_mode) || (uint64_t)loading->stat.st_size > MAX_TEXT_BYTES)
        return err_set(err, RC_IO, "the list of retired identifiers %s is no file of at most 8 GiB", name);
    loading->text_bytes = (size_t)loading->stat.st_size;
    loading->text = malloc(loading->text_bytes + 1);
    if (loading->text == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %zu bytes of %s", loading->text_bytes, name);
    return fdio_pread_exact(fd, loading->text, loading->text_bytes, 0, err);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of [*at, end): its length, 0 when there is none. */
static size_t next_word(const char *text, size_t *at, size_t end)
{
    while (*at < end && is_blank(text[*at]))
        ++*at;
    size_t length = 0;
    while (*at + length < end && !is_blank(text[*at + length]))
        length++;
    return length;
}

static enum rc add_line(struct archive_loading *loading, const struct archive_line *line, struct err *err)
{
    if (loading->count == loading->capacity) {
        uint32_t capacity = loading->capacity == 0 ? 1024 : loading->capacity * 2;
        void *grown = capacity > loading->capacity && capacity <= MAX_LINES
                          ? realloc(loading->line, capacity * sizeof *line)
                          : NULL;
        if (grown == NULL)
            return err_set(err, RC_NO_MEMORY, "no memory for more than %u retired identifiers",
                           loading->count);
        loading->line = grown;
        loading->capacity = capacity;
    }
    loading->line[loading->count++] = *line;
    return RC_OK;
}

/* Decodes a word where it stands; *ret_bytes is at most IIIF_MAX_IDENTIFIER_BYTES. */
static bool read_word(struct archive_loading *loading, uint64_t number, const char *name, size_t at,
                      size_t length, uint16_t *ret_bytes)
{
    struct err err;
    size_t decoded = 0;
    static_assert(IIIF_MAX_IDENTIFIER_BYTES <= UINT16_MAX, "the length of an identifier fits");
    if (iiif_percent_decode(name, loading->text + at, length, loading->text + at, IIIF_MAX_IDENTIFIER_BYTES,
                            &decoded, RC_BAD_REQUEST, &err) != RC_OK) {
        refuse(loading, number, err.message);
        return false;
    }
    *ret_bytes = (uint16_t)decoded;
    return true;
}

static enum rc read_line(struct archive_loading *loading, uint64_t number, size_t start, size_t end,
                         struct err *err)
{
    const char *text = loading->text;
    size_t at = start, old_length = next_word(text, &at, end);
    if (old_length == 0 || text[at] == '#')
        return RC_OK;
    struct archive_line line = {.number = number, .old_at = at, .next = NO_LINE, .end = NO_LINE};
    at += old_length;
    size_t new_length = next_word(text, &at, end);
    line.new_at = at;
    at += new_length;
    bool is_gone = new_length == 1 && text[line.new_at] == '-';
    if (new_length == 0) {
        refuse(loading, number, "a new identifier, or '-' for a gone image, has to follow the retired one");
        return RC_OK;
    }
    if (next_word(text, &at, end) != 0) {
        refuse(loading, number, "only two identifiers belong on a line; a blank inside one is written %20");
        return RC_OK;
    }
    if (!read_word(loading, number, "the retired identifier", line.old_at, old_length, &line.old_bytes) ||
        (!is_gone &&
         !read_word(loading, number, "the new identifier", line.new_at, new_length, &line.new_bytes)))
        return RC_OK;
    line.hash = list_map_key(text + line.old_at, line.old_bytes);
    return add_line(loading, &line, err);
}

static enum rc read_lines(struct archive_loading *loading, uint64_t *ret_lines, struct err *err)
{
    uint64_t number = 0;
    for (size_t start = 0; start < loading->text_bytes;) {
        const char *newline = memchr(loading->text + start, '\n', loading->text_bytes - start);
        size_t end = newline == NULL ? loading->text_bytes : (size_t)(newline - loading->text);
        enum rc rc = read_line(loading, ++number, start, end, err);
        if (rc != RC_OK)
            return rc;
        start = end + 1;
    }
    *ret_lines = number;
    return RC_OK;
}

/* ---- chains ---- */

static int compare_lines(const void *a, const void *b, void *context)
{
    const struct archive_line *left = a, *right = b;
    const char *text = context;
    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    if (left->old_bytes != right->old_bytes)
        return left->old_bytes < right->old_bytes ? -1 : 1;
    int order = memcmp(text + left->old_at, text + right->old_at, left->old_bytes);
    if (order != 0)
        return order;
    return left->number < right->number ? -1 : 1;
}

static bool is_same_identifier(const char *text, const struct archive_line *left,
                               const struct archive_line *right)
{
    return left->hash == right->hash && left->old_bytes == right->old_bytes &&
           memcmp(text + left->old_at, text + right->old_at, left->old_bytes) == 0;
}

/* The line that retires `identifier`, or NO_LINE. */
static uint32_t find_line(const struct archive_loading *loading, const char *identifier, uint16_t length)
{
    uint64_t hash = list_map_key(identifier, length);
    uint32_t low = 0, high = loading->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (loading->line[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < loading->count && loading->line[low].hash == hash; low++)
        if (loading->line[low].old_bytes == length &&
            memcmp(loading->text + loading->line[low].old_at, identifier, length) == 0)
            return low;
    return NO_LINE;
}

static void refuse_duplicates(struct archive_loading *loading)
{
    for (uint32_t i = 1; i < loading->count; i++) {
        const struct archive_line *line = &loading->line[i];
        if (!is_same_identifier(loading->text, line, line - 1))
            continue;
        char sentence[96];
        snprintf(sentence, sizeof sentence, "line %" PRIu64 " retires the same identifier",
                 (line - 1)->number);
        refuse(loading, line->number, sentence);
    }
}

/* The numbers of a loop's lines, as many as fit into a sentence. */
static void refuse_loop(struct archive_loading *loading, uint32_t start)
{
    const struct archive_line *line = loading->line;
    char sentence[200];
    int length = snprintf(sentence, sizeof sentence, "the identifiers lead round in a loop: lines %" PRIu64,
                          line[start].number);
    uint32_t at = line[start].next;
    for (; at != start && length < 150; at = line[at].next)
        length += snprintf(sentence + length, sizeof sentence - (size_t)length, ", %" PRIu64,
                           line[at].number);
    if (at != start)
        snprintf(sentence + length, sizeof sentence - (size_t)length, ", ...");
    refuse(loading, line[start].number, sentence);
}

/* Finds the end of every chain. A walk marks its lines with where it began, so that meeting that mark again
 * is a loop and meeting an end is the end: each line is walked twice at most. */
static enum rc follow_chains(struct archive_loading *loading, struct err *err)
{
    struct archive_line *line = loading->line;
    OWN_FREE uint32_t *walk = malloc((size_t)loading->count * sizeof *walk + 1);
    if (walk == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to follow %u retired identifiers", loading->count);
    memset(walk, 0xff, (size_t)loading->count * sizeof *walk);
    for (uint32_t i = 0; i < loading->count; i++)
        if (line[i].new_bytes > 0)
            line[i].next = find_line(loading, loading->text + line[i].new_at, line[i].new_bytes);
    for (uint32_t i = 0; i < loading->count; i++) {
        uint32_t at = i;
        while (walk[at] == NO_LINE && line[at].next != NO_LINE) {
            walk[at] = i;
            at = line[at].next;
        }
        if (line[at].end == NO_LINE && line[at].next != NO_LINE && walk[at] == i)
            refuse_loop(loading, at);
        uint32_t end = line[at].end != NO_LINE ? line[at].end : at;
        for (at = i; line[at].end == NO_LINE && (walk[at] == i || at == end); at = line[at].next) {
            line[at].end = end;
            if (at == end || line[at].next == NO_LINE)
                break;
        }
    }
    return RC_OK;
}

/* ---- writing the map ---- */

static enum rc append_entry(struct bytes *value, const struct archive_loading *loading,
                            const struct archive_line *line, struct err *err)
{
    const struct archive_line *end = &loading->line[line->end];
    const struct archive_entry entry = {line->old_bytes, end->new_bytes};
    enum rc rc = bytes_append(value, &entry, sizeof entry, err);
    if (rc == RC_OK)
        rc = bytes_append(value, loading->text + line->old_at, line->old_bytes, err);
    return rc == RC_OK ? bytes_append(value, loading->text + end->new_at, end->new_bytes, err) : rc;
}

static enum rc put_lines(const struct archive_loading *loading, struct list_map_making *making,
                         struct err *err)
{
    OWN(bytes_done) struct bytes value = {0};
    enum rc rc = RC_OK;
    for (uint32_t i = 0; i < loading->count && rc == RC_OK;) {
        uint64_t hash = loading->line[i].hash;
        value.length = 0;
        for (; i < loading->count && loading->line[i].hash == hash && rc == RC_OK; i++)
            rc = append_entry(&value, loading, &loading->line[i], err);
        if (rc == RC_OK)
            rc = list_map_put(making, hash, value.data, value.length, err);
    }
    return rc;
}

/* How large the map may become: its lines twice over and a page for each kind of overhead. */
static uint64_t map_bytes(const struct archive_loading *loading)
{
    uint64_t bytes = 2 * (uint64_t)loading->text_bytes;
    for (uint32_t i = 0; i < loading->count; i++)
        bytes += 2 * (sizeof(struct archive_entry) + 32 +
                      (uint64_t)loading->line[loading->line[i].end].new_bytes);
    return bytes + (1u << 20);
}

static enum rc write_map(const struct archive_loading *loading, const char *path, struct err *err)
{
    OWN(list_map_making_free) struct list_map_making *making = NULL;
    const struct list_map_source source = list_map_source(&gateway_archive_kind, &loading->stat, 0);
    enum rc rc = list_map_begin(&gateway_archive_kind, path, &source, map_bytes(loading), true, &making, err);
    if (rc == RC_OK)
        rc = put_lines(loading, making, err);
    return rc == RC_OK ? list_map_end(making, err) : rc;
}

enum rc gateway_archive_load(int text_fd, const char *text_name, const char *map_path,
                             gateway_problem *problem, void *context, uint64_t *ret_lines, struct err *err)
{
    OWN(loading_done) struct archive_loading loading = {.problem = problem, .context = context};
    uint64_t lines = 0;
    enum rc rc = read_text(&loading, text_fd, text_name, err);
    if (rc == RC_OK)
        rc = read_lines(&loading, &lines, err);
    if (rc != RC_OK)
        return rc;
    if (loading.count > 0)
        qsort_r(loading.line, loading.count, sizeof *loading.line, compare_lines, loading.text);
    refuse_duplicates(&loading);
    rc = follow_chains(&loading, err);
    if (rc == RC_OK && loading.problems > 0) {
        *err = loading.first;
        return RC_CORRUPT;
    }
    if (rc == RC_OK && map_path != NULL)
        rc = write_map(&loading, map_path, err);
    if (rc == RC_OK)
        *ret_lines = lines;
    return rc;
}
