#include "base/own.h"
#include "worker/manifest/catalogue.h"
#include "worker/manifest/catalogue_columns.h"
#include "worker/manifest/described.h"

#include <csv.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES     (1u << 20)
#define MOST_ROW_BYTES  (1u << 20)
#define MOST_FIELDS     10000u
#define MOST_PROBLEMS   1000u /* told; then it is enough */
#define MAP_LEAST_BYTES (UINT64_C(64) << 20)
#define MAP_TIMES_TEXT  64u

/* Where a row's identifier was, for finding others of its kind. */
struct seen {
    uint64_t key, line;
};

struct catalogue_loading {
    struct csv_parser parser;
    struct catalogue_columns *columns;
    uint64_t line, row_line; /* from 1: where we are, where the row began */
    bool has_begun;          /* the first line is read */
    /* the fields of the row: offsets into `text` first, since that may move */
    struct bytes text;
    size_t *offset;
    char **field;
    size_t field_count, field_capacity;
    /* rows */
    struct seen *seen;
    size_t seen_count, seen_capacity;
    uint64_t rows;
    struct list_map_making *map; /* NULL: it is only checked */
    struct bytes value;
    /* what is wrong */
    list_problem *problem;
    void *context;
    uint64_t problems;
    struct err first;
    enum rc fatal; /* RC_OK: so far it goes on */
    struct err fatal_err;
};

static void loading_done(struct catalogue_loading *loading)
{
    csv_free(&loading->parser);
    catalogue_columns_free(&loading->columns);
    bytes_done(&loading->text);
    bytes_done(&loading->value);
    free(loading->offset);
    free(loading->field);
    free(loading->seen);
    list_map_making_free(&loading->map);
}

static void refuse(struct catalogue_loading *loading, uint64_t line, const char *sentence)
{
    if (loading->problems++ == 0)
        err_set(&loading->first, RC_CORRUPT, "line %" PRIu64 ": %s", line, sentence);
    if (loading->problem != NULL && loading->problems <= MOST_PROBLEMS)
        loading->problem(line, sentence, loading->context);
}

static void stop(struct catalogue_loading *loading, enum rc rc, const char *sentence)
{
    if (loading->fatal == RC_OK)
        loading->fatal = err_set(&loading->fatal_err, rc, "%s", sentence);
}

/* ---- the map ---- */

static void keep_row(struct catalogue_loading *loading, uint64_t hash, const char *path, const char *text)
{
    uint32_t path_bytes = (uint32_t)strlen(path);
    loading->value.length = 0;
    if (bytes_append(&loading->value, &path_bytes, sizeof path_bytes, NULL) != RC_OK ||
        bytes_append(&loading->value, path, path_bytes, NULL) != RC_OK ||
        bytes_append(&loading->value, text, strlen(text), NULL) != RC_OK) {
        stop(loading, RC_NO_MEMORY, "no memory for a row of the catalogue");
        return;
    }
    struct err err;
    enum rc rc = list_map_put(loading->map, hash, loading->value.data, loading->value.length, &err);
    if (rc != RC_OK)
        stop(loading, rc, err.message);
}

static void note_seen(struct catalogue_loading *loading, uint64_t key)
{
    if (loading->seen_count == loading->seen_capacity) {
        size_t capacity = loading->seen_capacity == 0 ? 1024 : loading->seen_capacity * 2;
        struct seen *grown = reallocarray(loading->seen, capacity, sizeof *grown);
        if (grown == NULL) {
            stop(loading, RC_NO_MEMORY, "no memory for the rows of the catalogue");
            return;
        }
        loading->seen = grown;
        loading->seen_capacity = capacity;
    }
    loading->seen[loading->seen_count++] = (struct seen){key, loading->row_line};
}

static int by_key(const void *left, const void *right)
{
    const struct seen *a = left, *b = right;
    return a->key != b->key ? (a->key < b->key ? -1 : 1) : a->line < b->line ? -1 : a->line > b->line;
}

static void refuse_duplicates(struct catalogue_loading *loading)
{
    if (loading->seen_count > 1)
        qsort(loading->seen, loading->seen_count, sizeof *loading->seen, by_key);
    for (size_t i = 1; i < loading->seen_count; i++) {
        char sentence[80];
        if (loading->seen[i].key != loading->seen[i - 1].key)
            continue;
        snprintf(sentence, sizeof sentence, "the identifier has a row on line %" PRIu64 " already",
                 loading->seen[i - 1].line);
        refuse(loading, loading->seen[i].line, sentence);
    }
}

/* ---- rows ---- */

/* A sidecar that its reader refuses would be of no use later. */
static enum rc check_sidecar(json_t *sidecar, struct err *err)
{
    OWN(manifest_described_done) struct manifest_described said = {NULL};
    return manifest_described_read(sidecar, &said, err);
}

static void keep_sidecar(struct catalogue_loading *loading, uint64_t key, const char *identifier,
                         json_t *sidecar)
{
    OWN_FREE char *text = json_dumps(sidecar, JSON_COMPACT);
    if (text == NULL)
        stop(loading, RC_NO_MEMORY, "no memory for a row of the catalogue");
    else
        keep_row(loading, key, identifier, text);
}

static void take_row(struct catalogue_loading *loading)
{
    const char *identifier = NULL;
    json_t *sidecar = NULL;
    struct err err;
    enum rc rc = catalogue_columns_row(loading->columns, loading->field, loading->field_count, &identifier,
                                       &sidecar, &err);
    if (rc == RC_OK)
        rc = check_sidecar(sidecar, &err);
    if (rc == RC_NO_MEMORY) {
        stop(loading, rc, err.message);
    } else if (rc != RC_OK) {
        refuse(loading, loading->row_line, err.message);
    } else {
        uint64_t key = list_map_key(identifier, strlen(identifier));
        note_seen(loading, key);
        loading->rows++;
        if (loading->map != NULL && loading->problems == 0 && loading->fatal == RC_OK)
            keep_sidecar(loading, key, identifier, sidecar);
    }
    json_decref(sidecar);
}

static void on_field(void *data, size_t length, void *context)
{
    struct catalogue_loading *loading = context;
    if (loading->fatal != RC_OK)
        return;
    if (loading->field_count == loading->field_capacity) {
        size_t capacity = loading->field_capacity == 0 ? 64 : loading->field_capacity * 2;
        void *offset = reallocarray(loading->offset, capacity, sizeof *loading->offset);
        if (offset != NULL)
            loading->offset = offset;
        void *field = reallocarray(loading->field, capacity, sizeof *loading->field);
        if (field != NULL)
            loading->field = field;
        if (offset == NULL || field == NULL || capacity > MOST_FIELDS * 2) {
            stop(loading, offset == NULL || field == NULL ? RC_NO_MEMORY : RC_TOO_LARGE,
                 "a row has too many fields");
            return;
        }
        loading->field_capacity = capacity;
    }
    loading->offset[loading->field_count++] = loading->text.length;
    /* A NUL would end the field; the rest of it is not UTF-8 text then, which is said. */
    bool has_nul = length > 0 && memchr(data, '\0', length) != NULL;
    if (bytes_append(&loading->text, has_nul ? "\xff" : data, has_nul ? 1 : length, NULL) != RC_OK ||
        bytes_append(&loading->text, "", 1, NULL) != RC_OK)
        stop(loading, RC_NO_MEMORY, "no memory for a row of the catalogue");
}

static void on_row(int end, void *context)
{
    struct catalogue_loading *loading = context;
    (void)end;
    if (loading->fatal != RC_OK)
        return;
    for (size_t i = 0; i < loading->field_count; i++)
        loading->field[i] = (char *)loading->text.data + loading->offset[i];
    if (loading->has_begun) {
        take_row(loading);
    } else {
        struct err err;
        loading->has_begun = true;
        enum rc rc = catalogue_columns_begin(loading->columns, loading->field, loading->field_count, &err);
        if (rc != RC_OK && rc != RC_NO_MEMORY)
            refuse(loading, loading->row_line, err.message);
        if (rc != RC_OK)
            stop(loading, rc, err.message);
    }
    loading->field_count = 0;
    loading->text.length = 0;
}

/* ---- the text ---- */

/* Part of one line, at most up to its end. */
static void feed(struct catalogue_loading *loading, const char *text, size_t length)
{
    if (loading->parser.pstate == 0) /* between two rows: one on blank lines is none */
        loading->row_line = loading->line;
    if (csv_parse(&loading->parser, text, length, on_field, on_row, loading) != length &&
        loading->fatal == RC_OK) {
        bool is_wrong = csv_error(&loading->parser) == CSV_EPARSE;
        if (is_wrong)
            refuse(loading, loading->line,
                   "a quote stands where none may be, or a field goes on behind its quotes");
        stop(loading, is_wrong ? RC_CORRUPT : RC_NO_MEMORY, csv_strerror(csv_error(&loading->parser)));
    }
    if (loading->fatal == RC_OK && loading->parser.entry_pos + loading->text.length > MOST_ROW_BYTES) {
        refuse(loading, loading->row_line, "the row is longer than 1 MiB; maybe a quote is not closed");
        stop(loading, RC_CORRUPT, "a row is too long");
    }
}

/* Whichever of the usual ones the first line has most of, outside of quotes. */
static unsigned char find_separator(const char *text, size_t length)
{
    static const char separators[] = ",;\t";
    size_t count[3] = {0}, best = 0;
    bool is_quoted = false;
    for (size_t i = 0; i < length && (is_quoted || text[i] != '\n'); i++) {
        const char *found = text[i] == '\0' ? NULL : strchr(separators, text[i]);
        is_quoted = is_quoted != (text[i] == '"');
        if (found != NULL && !is_quoted)
            count[found - separators]++;
    }
    for (size_t i = 1; i < 3; i++)
        if (count[i] > count[best])
            best = i;
    return (unsigned char)separators[best];
}

static void take_piece(struct catalogue_loading *loading, const char *text, size_t length)
{
    for (size_t at = 0; at < length && loading->fatal == RC_OK;) {
        const char *newline = memchr(text + at, '\n', length - at);
        size_t bytes = newline == NULL ? length - at : (size_t)(newline - text) + 1 - at;
        feed(loading, text + at, bytes);
        loading->line += newline != NULL;
        at += bytes;
    }
}

static enum rc read_text(struct catalogue_loading *loading, int fd, struct err *err)
{
    OWN_FREE char *piece = malloc(PIECE_BYTES);
    if (piece == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the catalogue");
    for (off_t at = 0; loading->fatal == RC_OK;) {
        ssize_t got = pread(fd, piece, PIECE_BYTES, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set_errno(err, RC_IO, errno, "the catalogue cannot be read");
        size_t skip = at == 0 && got >= 3 && memcmp(piece, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        if (at == 0)
            csv_set_delim(&loading->parser, find_separator(piece + skip, (size_t)got - skip));
        if (got == 0)
            break;
        take_piece(loading, piece + skip, (size_t)got - skip);
        at += got;
    }
    if (loading->fatal == RC_OK && csv_fini(&loading->parser, on_field, on_row, loading) != 0) {
        refuse(loading, loading->row_line, "a quote is not closed");
        return RC_OK;
    }
    if (loading->fatal == RC_OK && !loading->has_begun)
        refuse(loading, 1, "there is no first line, which names the columns");
    if (loading->fatal != RC_OK && loading->problems == 0)
        *err = loading->fatal_err;
    return loading->problems == 0 ? loading->fatal : RC_OK;
}

/* ---- the whole ---- */

static enum rc begin_map(struct catalogue_loading *loading, const struct stat *text, const char *columns,
                         const char *path, struct err *err)
{
    const struct list_map_source source = list_map_source(&manifest_catalogue_kind, text,
                                                          manifest_catalogue_columns_hash(columns));
    return list_map_begin(&manifest_catalogue_kind, path, &source,
                          (uint64_t)text->st_size * MAP_TIMES_TEXT + MAP_LEAST_BYTES, false, &loading->map,
                          err);
}

static enum rc load(struct catalogue_loading *loading, int text_fd, struct err *err)
{
    enum rc rc = read_text(loading, text_fd, err);
    if (rc != RC_OK)
        return rc;
    refuse_duplicates(loading);
    if (loading->problems == 0)
        return RC_OK;
    *err = loading->first;
    return RC_CORRUPT;
}

enum rc manifest_catalogue_load(int text_fd, const char *columns, const char *map_path, list_problem *problem,
                                void *context, uint64_t *ret_rows, struct err *err)
{
    OWN(loading_done) struct catalogue_loading loading = {.problem = problem, .context = context, .line = 1};
    struct stat text;
    enum rc rc = catalogue_columns_read(columns, &loading.columns, err);
    if (rc != RC_OK)
        return rc;
    if (fstat(text_fd, &text) != 0 || !S_ISREG(text.st_mode))
        return err_set(err, RC_IO, "the catalogue is no file");
    if (csv_init(&loading.parser, CSV_STRICT | CSV_STRICT_FINI) != 0)
        return err_set(err, RC_NO_MEMORY, "no memory for the catalogue");
    if (map_path != NULL)
        rc = begin_map(&loading, &text, columns, map_path, err);
    if (rc == RC_OK)
        rc = load(&loading, text_fd, err);
    if (rc == RC_OK && map_path != NULL)
        rc = list_map_end(loading.map, err);
    if (rc == RC_OK)
        *ret_rows = loading.rows;
    return rc;
}
