#include "base/settings.h"

#include "base/own.h"
#include "base/roots.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *settings_parse_address(const char *text, struct sockaddr_storage *ret_address,
                                   socklen_t *ret_length)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return "there is no port; write ADDR:PORT";
    char host[INET6_ADDRSTRLEN + 2];
    size_t length = (size_t)(colon - text);
    if (length == 0 || length >= sizeof host)
        return "there is no address before the port; write ADDR:PORT, 0.0.0.0 stands for all addresses";
    memcpy(host, text, length);
    host[length] = '\0';
    unsigned port = 0;
    for (const char *digit = colon + 1; *digit != '\0' || digit == colon + 1; digit++) {
        if (!isdigit((unsigned char)*digit) || (port = port * 10 + (unsigned)(*digit - '0')) > 65535)
            return "the port is not a number from 0 to 65535";
    }
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    if (host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
            return "what is in brackets is not an IPv6 address";
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *ret_length = sizeof *v6;
    } else {
        if (strchr(host, ':') != NULL)
            return "an IPv6 address goes into brackets; write [ADDR]:PORT";
        if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
            return "the address is not a numeric IPv4 or [IPv6] address";
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *ret_length = sizeof *v4;
    }
    *ret_address = address;
    return NULL;
}

/* Values ------------------------------------------------------------------------------------------------- */

static void *settings_field(struct settings *settings, const struct settings_row *row)
{
    return (char *)settings + row->offset;
}

static bool settings_has_text(const struct settings_row *row)
{
    return row->type == SETTINGS_TEXT || row->type == SETTINGS_CHOICE || row->type == SETTINGS_LIST;
}

/* True when all of `text` is a whole number; one beyond 64 bits becomes the nearest that fits, for the bounds
 * to refuse. */
static bool settings_parse_whole(const char *text, bool is_bytes, int64_t *ret_value)
{
    char *end;
    if (!isdigit((unsigned char)text[0]) && text[0] != '-' && text[0] != '+')
        return false;
    int64_t value = strtoll(text, &end, 10);
    if (end == text || !isdigit((unsigned char)end[-1]))
        return false;
    const char *suffix = "KMGT";
    const char *found = is_bytes && *end != '\0' ? strchr(suffix, toupper((unsigned char)*end)) : NULL;
    if (found != NULL) {
        end++;
        if (__builtin_mul_overflow(value, INT64_C(1) << (10 * (found - suffix + 1)), &value))
            value = text[0] == '-' ? INT64_MIN : INT64_MAX;
    }
    *ret_value = value;
    return *end == '\0';
}

static enum rc settings_set_whole(int64_t *field, const struct settings_row *row, const char *value,
                                  struct err *err)
{
    const char *unit = row->unit_or_choices;
    bool is_bytes = strcmp(unit, "bytes") == 0;
    int64_t number;
    if (!settings_parse_whole(value, is_bytes, &number))
        return err_set(err, RC_BAD_REQUEST, "%s is \"%s\", which is not a whole number%s", row->name, value,
                       is_bytes ? ", nor one with K, M, G or T behind it" : "");
    if (number < row->least || number > row->most)
        return err_set(err, RC_BAD_REQUEST, "%s is %s, but must be from %lld to %lld%s%s", row->name, value,
                       (long long)row->least, (long long)row->most, unit[0] != '\0' ? " " : "", unit);
    const char *wrong = row->check != NULL ? row->check(value) : NULL;
    if (wrong != NULL)
        return err_set(err, RC_BAD_REQUEST, "%s is %s: %s", row->name, value, wrong);
    *field = number;
    return RC_OK;
}

static enum rc settings_set_switch(bool *field, const struct settings_row *row, const char *value,
                                   struct err *err)
{
    int on = settings_choice_index("true|on|yes", value);
    if (on < 0 && settings_choice_index("false|off|no", value) < 0)
        return err_set(err, RC_BAD_REQUEST, "%s is \"%s\", but must be true or false", row->name, value);
    *field = on >= 0;
    return RC_OK;
}

static enum rc settings_set_text(char **field, const struct settings_row *row, const char *value,
                                 struct err *err)
{
    const char *wrong = row->check != NULL ? row->check(value) : NULL;
    if (wrong != NULL)
        return err_set(err, RC_BAD_REQUEST, "%s is \"%s\": %s", row->name, value, wrong);
    if (row->type == SETTINGS_CHOICE && settings_choice_index(row->unit_or_choices, value) < 0)
        return err_set(err, RC_BAD_REQUEST, "%s is \"%s\", but must be one of %s", row->name, value,
                       row->unit_or_choices);
    char *copy = strdup(value);
    if (copy == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the value of %s", row->name);
    free(*field);
    *field = copy;
    return RC_OK;
}

enum rc settings_set(struct settings *settings, const struct settings_row *row, const char *value,
                     struct err *err)
{
    void *field = settings_field(settings, row);
    switch (row->type) {
    case SETTINGS_WHOLE:
        return settings_set_whole(field, row, value, err);
    case SETTINGS_SWITCH:
        return settings_set_switch(field, row, value, err);
    case SETTINGS_TEXT:
    case SETTINGS_CHOICE:
    case SETTINGS_LIST:
        break;
    }
    return settings_set_text(field, row, value, err);
}

enum rc settings_add(struct settings *settings, const struct settings_row *row, const char *value,
                     struct err *err)
{
    OWN_FREE char *list = NULL;
    const char *former = *(char **)settings_field(settings, row);
    if (asprintf(&list, "%s%c%s", former, ROOTS_SEPARATOR, value) < 0) {
        list = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for the value of %s", row->name);
    }
    return settings_set(settings, row, list, err);
}

static const void *settings_value(const struct settings *settings, const struct settings_row *row)
{
    return (const char *)settings + row->offset;
}

bool settings_is_same(const struct settings *a, const struct settings *b, const struct settings_row *row)
{
    const void *one = settings_value(a, row), *other = settings_value(b, row);
    if (settings_has_text(row))
        return strcmp(*(char *const *)one, *(char *const *)other) == 0;
    return memcmp(one, other, row->type == SETTINGS_SWITCH ? sizeof(bool) : sizeof(int64_t)) == 0;
}

enum rc settings_copy(struct settings *to, const struct settings *from, const struct settings_row *row,
                      struct err *err)
{
    const void *value = settings_value(from, row);
    if (settings_has_text(row))
        return settings_set_text(settings_field(to, row), row, *(char *const *)value, err);
    memcpy(settings_field(to, row), value, row->type == SETTINGS_SWITCH ? sizeof(bool) : sizeof(int64_t));
    return RC_OK;
}

/* Takes the beginning of an environment variable, up to `end`, where it is set. */
static enum rc settings_take(char **field, const char *variable, const char *end, struct err *err)
{
    const char *value = getenv(variable);
    if (value == NULL || value[0] == '\0')
        return RC_OK;
    char *copy = strndup(value, strcspn(value, end));
    if (copy == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the value of %s", variable);
    free(*field);
    *field = copy;
    return RC_OK;
}

enum rc settings_init(struct settings *settings, struct err *err)
{
    *settings = (struct settings){0};
    for (size_t i = 0; i < settings_table_length; i++) {
        enum rc rc = settings_set(settings, &settings_table[i], settings_table[i].preset, err);
        if (rc != RC_OK) {
            settings_done(settings);
            return rc;
        }
    }
    enum rc rc = settings_take(&settings->cache, "CACHE_DIRECTORY", ":", err); /* systemd may list several */
    if (rc == RC_OK)
        rc = settings_take(&settings->admin_token, "VITRINE_ADMIN_TOKEN", "", err);
    if (rc != RC_OK)
        settings_done(settings);
    return rc;
}

void settings_done(struct settings *settings)
{
    for (size_t i = 0; i < settings_table_length; i++)
        if (settings_has_text(&settings_table[i]))
            free(*(char **)settings_field(settings, &settings_table[i]));
    *settings = (struct settings){0};
}

/* Names -------------------------------------------------------------------------------------------------- */

const char *settings_command(const struct settings_row *row)
{
    return strncmp(row->name, "ingest_", 7) == 0 ? "ingest" : "serve";
}

const struct settings_row *settings_find(const char *name)
{
    for (size_t i = 0; i < settings_table_length; i++)
        if (strcmp(settings_table[i].name, name) == 0)
            return &settings_table[i];
    return NULL;
}

/* Levenshtein's distance; anything above the longest name is "far". */
static size_t settings_distance(const char *a, const char *b)
{
    size_t row[32];
    size_t width = strlen(b);
    if (width + 1 > sizeof row / sizeof row[0])
        return SIZE_MAX;
    for (size_t i = 0; i <= width; i++)
        row[i] = i;
    for (size_t y = 0; a[y] != '\0'; y++) {
        size_t diagonal = row[0];
        row[0] = y + 1;
        for (size_t x = 0; x < width; x++) {
            size_t change = diagonal + (a[y] != b[x]);
            diagonal = row[x + 1];
            size_t least = row[x] < row[x + 1] ? row[x] + 1 : row[x + 1] + 1;
            row[x + 1] = change < least ? change : least;
        }
    }
    return row[width];
}

const struct settings_row *settings_find_near(const char *name)
{
    const struct settings_row *nearest = NULL;
    size_t least = strlen(name) / 3 + 1; /* a third of the letters may be wrong, one in short names */
    for (size_t i = 0; i < settings_table_length; i++) {
        size_t distance = settings_distance(name, settings_table[i].name);
        if (distance < least) {
            least = distance;
            nearest = &settings_table[i];
        }
    }
    return nearest;
}

int settings_choice_index(const char *choices, const char *value)
{
    size_t length = strlen(value);
    int index = 0;
    for (const char *choice = choices;; index++) {
        size_t span = strcspn(choice, "|");
        if (span == length && memcmp(choice, value, length) == 0)
            return index;
        if (choice[span] == '\0')
            return -1;
        choice += span + 1;
    }
}

enum log_level settings_log_level(const struct settings *settings)
{
    static const enum log_level level[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
                                           LOG_LEVEL_DEBUG};
    int index = settings_choice_index("error|warning|info|debug", settings->log_level);
    return index < 0 ? LOG_LEVEL_INFO : level[index];
}
