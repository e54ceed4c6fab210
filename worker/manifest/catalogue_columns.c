#include "worker/manifest/catalogue_columns.h"

#include "base/own.h"
#include "worker/manifest/text.h"

#include <stdlib.h>
#include <string.h>

#define MOST_COLUMNS   1000u
#define LANGUAGE_BYTES 36u /* BCP 47 asks for at least 35 letters */
#define NOWHERE        SIZE_MAX

enum column_kind {
    COLUMN_IDENTIFIER,
    COLUMN_TEXT,
    COLUMN_STRING,
    COLUMN_WORDS,
    COLUMN_PAGES,
    COLUMN_METADATA
};

struct column {
    char *title;                   /* in the first line */
    char *name;                    /* what it is: a property, or the label of a line of the metadata */
    char language[LANGUAGE_BYTES]; /* "none" where it is not said */
    enum column_kind kind;
    size_t place; /* among the fields */
};

struct catalogue_columns {
    bool is_open; /* every column of the first line counts */
    size_t count;
    struct column *column;
};

static void json_release(json_t **json)
{
    json_decref(*json);
}

void catalogue_columns_free(struct catalogue_columns **columns)
{
    struct catalogue_columns *freed = TAKE_PTR(*columns);
    if (freed == NULL)
        return;
    for (size_t i = 0; i < freed->count; i++) {
        free(freed->column[i].title);
        free(freed->column[i].name);
    }
    free(freed->column);
    free(freed);
}

/* ---- the setting ---- */

static enum column_kind kind_of(const char *name)
{
    static const struct {
        const char *name;
        enum column_kind kind;
    } known[] = {
        {"identifier", COLUMN_IDENTIFIER},  {"label", COLUMN_TEXT},     {"summary", COLUMN_TEXT},
        {"requiredStatement", COLUMN_TEXT}, {"rights", COLUMN_STRING},  {"viewingDirection", COLUMN_STRING},
        {"navDate", COLUMN_STRING},         {"behavior", COLUMN_WORDS}, {"pages", COLUMN_PAGES}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(name, known[i].name) == 0)
            return known[i].kind;
    return COLUMN_METADATA;
}

/* A copy without blanks at both ends. */
static char *trimmed(const char *text, size_t length)
{
    while (length > 0 && strchr(" \t", text[length - 1]) != NULL)
        length--;
    for (; length > 0 && strchr(" \t", *text) != NULL; length--)
        text++;
    return strndup(text, length);
}

static enum rc add_column(struct catalogue_columns *columns, const char *title, size_t title_bytes,
                          const char *name, size_t name_bytes, struct err *err)
{
    if (columns->count >= MOST_COLUMNS)
        return err_set(err, RC_BAD_REQUEST, "there are more than %u columns", MOST_COLUMNS);
    struct column *grown = reallocarray(columns->column, columns->count + 1, sizeof *grown);
    if (grown == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the columns of the catalogue");
    columns->column = grown;
    const char *at = memrchr(name, '@', name_bytes);
    struct column *column = &grown[columns->count++];
    *column = (struct column){.title = trimmed(title, title_bytes),
                              .name = trimmed(name, at == NULL ? name_bytes : (size_t)(at - name)),
                              .language = "none",
                              .place = NOWHERE};
    if (column->title == NULL || column->name == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the columns of the catalogue");
    column->kind = kind_of(column->name);
    if (column->title[0] == '\0' || column->name[0] == '\0')
        return err_set(err, RC_BAD_REQUEST, "\"%.*s = %.*s\": COLUMN = NAME is wanted", (int)title_bytes,
                       title, (int)name_bytes, name);
    if (at == NULL)
        return RC_OK;
    OWN_FREE char *language = trimmed(at + 1, name_bytes - (size_t)(at + 1 - name));
    if (language == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the columns of the catalogue");
    size_t letters = strlen(language);
    if (letters == 0 || letters >= LANGUAGE_BYTES ||
        strspn(language, "-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != letters)
        return err_set(err, RC_BAD_REQUEST, "\"%.40s\" behind @ is no language", language);
    if (column->kind != COLUMN_TEXT && column->kind != COLUMN_METADATA)
        return err_set(err, RC_BAD_REQUEST, "%s has no language", column->name);
    memcpy(column->language, language, letters + 1);
    return RC_OK;
}

static enum rc check_identifier(const struct catalogue_columns *columns, enum rc wrong, struct err *err)
{
    size_t found = 0;
    for (size_t i = 0; i < columns->count; i++)
        found += columns->column[i].kind == COLUMN_IDENTIFIER;
    return found == 1 ? RC_OK
                      : err_set(err, wrong, "%s column is the identifier; one has to be",
                                found == 0 ? "no" : "more than one");
}

enum rc catalogue_columns_read(const char *written, struct catalogue_columns **ret_columns, struct err *err)
{
    OWN(catalogue_columns_free) struct catalogue_columns *columns = calloc(1, sizeof *columns);
    if (columns == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the columns of the catalogue");
    columns->is_open = written[strspn(written, " ")] == '\0';
    for (const char *at = written; *at != '\0' && !columns->is_open;) {
        size_t length = strcspn(at, ";");
        const char *equals = memchr(at, '=', length);
        bool is_blank = strspn(at, " \t") >= length;
        if (!is_blank && equals == NULL)
            return err_set(err, RC_BAD_REQUEST, "\"%.*s\": COLUMN = NAME is wanted", (int)length, at);
        if (!is_blank) {
            enum rc rc = add_column(columns, at, (size_t)(equals - at), equals + 1,
                                    length - (size_t)(equals + 1 - at), err);
            if (rc != RC_OK)
                return rc;
        }
        at += length + (at[length] == ';');
    }
    enum rc rc = columns->is_open ? RC_OK : check_identifier(columns, RC_BAD_REQUEST, err);
    if (rc == RC_OK)
        *ret_columns = TAKE_PTR(columns);
    return rc;
}

/* ---- the first line ---- */

enum rc catalogue_columns_begin(struct catalogue_columns *columns, char *const *field, size_t count,
                                struct err *err)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; columns->is_open && i < count && rc == RC_OK; i++)
        if (!manifest_text_is_utf8(field[i], strlen(field[i])))
            rc = err_set(err, RC_CORRUPT, "it is not UTF-8");
        else if (field[i][0] != '\0')
            rc = add_column(columns, field[i], strlen(field[i]), field[i], strlen(field[i]), err);
    if (rc == RC_OK)
        rc = check_identifier(columns, RC_CORRUPT, err);
    if (rc != RC_OK)
        return err->rc = rc == RC_BAD_REQUEST ? RC_CORRUPT : rc;
    for (size_t c = 0; c < columns->count; c++) {
        struct column *column = &columns->column[c];
        for (size_t i = 0; i < count; i++) {
            OWN_FREE char *title = trimmed(field[i], strlen(field[i]));
            if (title == NULL)
                return err_set(err, RC_NO_MEMORY, "no memory for the columns of the catalogue");
            if (strcmp(title, column->title) != 0)
                continue;
            if (column->place != NOWHERE)
                return err_set(err, RC_CORRUPT, "there are two columns \"%.100s\"", column->title);
            column->place = i;
        }
        if (column->place == NOWHERE)
            return err_set(err, RC_CORRUPT, "there is no column \"%.100s\"", column->title);
    }
    return RC_OK;
}

/* ---- a row ---- */

static enum rc no_memory(struct err *err)
{
    return err_set(err, RC_NO_MEMORY, "no memory for a row of the catalogue");
}

/* One more value of the language in a language map. */
static bool add_text(json_t *map, const char *language, json_t *value)
{
    json_t *values = json_object_get(map, language);
    if (values == NULL && json_object_set_new(map, language, values = json_array()) != 0)
        return false;
    return json_array_append(values, value) == 0;
}

static bool put_text(json_t *sidecar, const struct column *column, json_t *value)
{
    json_t *map = json_object_get(sidecar, column->name);
    if (map == NULL && json_object_set_new(sidecar, column->name, map = json_object()) != 0)
        return false;
    return add_text(map, column->language, value);
}

/* Columns of one label in several languages become one line. */
static bool put_metadata(json_t *sidecar, const struct column *column, json_t *value)
{
    json_t *all = json_object_get(sidecar, "metadata");
    if (all == NULL && json_object_set_new(sidecar, "metadata", all = json_array()) != 0)
        return false;
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *pair = json_array_get(all, i);
        if (strcmp(json_string_value(json_object_get(pair, "label")), column->name) == 0)
            return add_text(json_object_get(pair, "value"), column->language, value);
    }
    return json_array_append_new(all, json_pack("{s:s,s:{s:[O]}}", "label", column->name, "value",
                                                column->language, value)) == 0;
}

/* "1r|1v|2r" as an array. */
static json_t *split(const char *text, const char *separators)
{
    json_t *parts = json_array();
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, separators);
        if (json_array_append_new(parts, json_stringn(at, length)) != 0) {
            json_decref(parts);
            return NULL;
        }
        at += length;
        if (*at == '\0')
            return parts;
    }
}

static bool put_field(json_t *sidecar, const struct column *column, const char *text)
{
    OWN(json_release) json_t *value = json_string(text);
    switch (column->kind) {
    case COLUMN_TEXT:
        return value != NULL && put_text(sidecar, column, value);
    case COLUMN_METADATA:
        return value != NULL && put_metadata(sidecar, column, value);
    case COLUMN_STRING:
        return json_object_set(sidecar, column->name, value) == 0;
    case COLUMN_WORDS:
        return json_object_set_new(sidecar, column->name, split(text, " |")) == 0;
    case COLUMN_PAGES:
        return json_object_set_new(sidecar, column->name, split(text, "|")) == 0;
    case COLUMN_IDENTIFIER:
        break;
    }
    return true;
}

static enum rc take_identifier(const char *text, const char **ret_identifier, struct err *err)
{
    text += strspn(text, "/");
    if (text[0] == '\0')
        return err_set(err, RC_BAD_REQUEST, "there is no identifier");
    *ret_identifier = text;
    return RC_OK;
}

enum rc catalogue_columns_row(const struct catalogue_columns *columns, char *const *field, size_t count,
                              const char **ret_identifier, json_t **ret_sidecar, struct err *err)
{
    OWN(json_release) json_t *sidecar = json_object();
    const char *identifier = NULL;
    if (sidecar == NULL)
        return no_memory(err);
    for (size_t c = 0; c < columns->count; c++) {
        const struct column *column = &columns->column[c];
        const char *text = column->place < count ? field[column->place] : "";
        if (!manifest_text_is_utf8(text, strlen(text)))
            return err_set(err, RC_BAD_REQUEST, "\"%.60s\" is not UTF-8", column->title);
        enum rc rc = column->kind == COLUMN_IDENTIFIER ? take_identifier(text, &identifier, err) : RC_OK;
        if (rc == RC_OK && text[0] != '\0' && !put_field(sidecar, column, text))
            rc = no_memory(err);
        if (rc != RC_OK)
            return rc;
    }
    *ret_identifier = identifier;
    *ret_sidecar = TAKE_PTR(sidecar);
    return RC_OK;
}
