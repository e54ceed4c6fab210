#include "worker/ingest/mapping.h"

#include "base/own.h"
#include "worker/ingest/convert.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "ingest_"

/* The rows whose values a pyramid's bytes depend on. */
static bool row_is_visible(const struct settings_row *row)
{
    static const char *const visible[] = {"profile",     "alpha",   "background",  "depth",
                                          "compression", "quality", "subsampling", "restart_intervals",
                                          "tile",        "page",    "bigtiff"};
    for (size_t i = 0; i < sizeof visible / sizeof visible[0]; i++)
        if (strcmp(row->name + strlen(PREFIX), visible[i]) == 0)
            return true;
    return false;
}

const struct settings_row *ingest_mapping_row(const char *name)
{
    char key[64];
    snprintf(key, sizeof key, PREFIX "%s", name);
    const struct settings_row *row = settings_find(key);
    return row != NULL && (row_is_visible(row) || strcmp(name, "destination") == 0) ? row : NULL;
}

/* Rules ----------------------------------------------------------------------------------------------- */

enum rc ingest_rules_add(struct ingest_rules *rules, const char *match, struct err *err)
{
    OWN_FREE char *copy = strdup(match);
    struct ingest_rule *rule = reallocarray(rules->rule, rules->count + 1, sizeof *rule);
    if (rule != NULL)
        rules->rule = rule;
    if (copy == NULL || rule == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %zu rules", rules->count + 1);
    rules->rule[rules->count++] = (struct ingest_rule){.match = TAKE_PTR(copy)};
    return RC_OK;
}

enum rc ingest_rules_set(struct ingest_rules *rules, const struct settings_row *row, const char *text,
                         struct err *err)
{
    struct settings scratch = {0};
    enum rc rc = settings_set(&scratch, row, text, err);
    settings_done(&scratch);
    if (rc != RC_OK)
        return rc;
    struct ingest_rule *rule = &rules->rule[rules->count - 1];
    struct ingest_rule_value *value = reallocarray(rule->value, rule->count + 1, sizeof *value);
    if (value != NULL)
        rule->value = value;
    OWN_FREE char *copy = strdup(text);
    if (value == NULL || copy == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for a rule");
    rule->value[rule->count++] = (struct ingest_rule_value){.row = row, .text = TAKE_PTR(copy)};
    return RC_OK;
}

void ingest_rules_done(struct ingest_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        struct ingest_rule *rule = &rules->rule[i];
        for (size_t j = 0; j < rule->count; j++)
            free(rule->value[j].text);
        free(rule->value);
        free(rule->match);
    }
    free(rules->rule);
    *rules = (struct ingest_rules){0};
}

/* Variants -------------------------------------------------------------------------------------------- */

static void variant_free(struct ingest_variant **variant)
{
    if (*variant == NULL)
        return;
    settings_done(&(*variant)->settings);
    free((*variant)->text);
    free((*variant)->fits);
    free(TAKE_PTR(*variant));
}

static enum rc variant_describe(struct ingest_variant *variant, struct err *err)
{
    OWN(bytes_done) struct bytes text = {0};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < settings_table_length && rc == RC_OK; i++) {
        const struct settings_row *row = &settings_table[i];
        if (strncmp(row->name, PREFIX, strlen(PREFIX)) != 0 || !row_is_visible(row))
            continue;
        const char *name = row->name + strlen(PREFIX), *gap = text.length > 0 ? " " : "";
        const void *field = (const char *)&variant->settings + row->offset;
        if (row->type == SETTINGS_WHOLE)
            rc = bytes_format(&text, err, "%s%s=%" PRId64, gap, name, *(const int64_t *)field);
        else if (row->type == SETTINGS_SWITCH)
            rc = bytes_format(&text, err, "%s%s=%s", gap, name, *(const bool *)field ? "yes" : "no");
        else
            rc = bytes_format(&text, err, "%s%s=%s", gap, name, *(char *const *)field);
    }
    if (rc == RC_OK)
        rc = bytes_append(&text, "", 1, err);
    if (rc == RC_OK)
        variant->text = (char *)TAKE_PTR(text.data);
    return rc;
}

static enum rc variant_make(const struct ingest_mapping *mapping, uint8_t **fits,
                            struct ingest_variant **ret_variant, struct err *err)
{
    OWN(variant_free) struct ingest_variant *variant = calloc(1, sizeof *variant);
    if (variant == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the settings of a rule");
    enum rc rc = settings_init(&variant->settings, err);
    for (size_t i = 0; i < settings_table_length && rc == RC_OK; i++)
        rc = settings_copy(&variant->settings, mapping->settings, &settings_table[i], err);
    for (size_t i = 0; i < mapping->rules->count; i++) {
        const struct ingest_rule *rule = &mapping->rules->rule[i];
        for (size_t j = 0; j < rule->count && (*fits)[i] && rc == RC_OK; j++)
            if (!mapping->is_fixed[rule->value[j].row - settings_table])
                rc = settings_set(&variant->settings, rule->value[j].row, rule->value[j].text, err);
    }
    if (rc == RC_OK)
        rc = variant_describe(variant, err);
    if (rc != RC_OK)
        return rc;
    variant->fits = TAKE_PTR(*fits);
    *ret_variant = TAKE_PTR(variant);
    return RC_OK;
}

enum rc ingest_mapping_find(struct ingest_mapping *mapping, const char *relative,
                            const struct ingest_variant **ret_variant, struct err *err)
{
    size_t count = mapping->rules->count;
    OWN_FREE uint8_t *fits = malloc(count + 1);
    if (fits == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the rules");
    for (size_t i = 0; i < count; i++)
        fits[i] = fnmatch(mapping->rules->rule[i].match, relative, 0) == 0;
    for (const struct ingest_variant *known = mapping->variant; known != NULL; known = known->next)
        if (memcmp(known->fits, fits, count) == 0) {
            *ret_variant = known;
            return RC_OK;
        }
    struct ingest_variant *variant = NULL;
    enum rc rc = variant_make(mapping, &fits, &variant, err);
    if (rc != RC_OK)
        return rc;
    variant->next = mapping->variant;
    mapping->variant = variant;
    *ret_variant = variant;
    return RC_OK;
}

void ingest_mapping_done(struct ingest_mapping *mapping)
{
    while (mapping->variant != NULL) {
        struct ingest_variant *gone = mapping->variant;
        mapping->variant = gone->next;
        variant_free(&gone);
    }
}

/* Names ----------------------------------------------------------------------------------------------- */

#define NAME_MOST_BYTES 255

/* Every part can be a file's name; nothing of the source is in it that leads elsewhere. */
static enum rc check_name(const char *name, size_t length, struct err *err)
{
    for (size_t start = 0; start <= length;) {
        const char *slash = memchr(name + start, '/', length - start);
        size_t part = slash != NULL ? (size_t)(slash - name) - start : length - start;
        if (part == 0 || (part <= 2 && memcmp(name + start, "..", part) == 0))
            return err_set(err, RC_BAD_REQUEST, "the name of its pyramid would have a part that is no name");
        if (part > NAME_MOST_BYTES)
            return err_set(err, RC_BAD_REQUEST, "the name of its pyramid would have %zu bytes; %d may be",
                           part, NAME_MOST_BYTES);
        start += part + 1;
    }
    return RC_OK;
}

enum rc ingest_mapping_name(const struct ingest_variant *variant, const char *relative, struct bytes *out,
                            struct err *err)
{
    const char *slash = strrchr(relative, '/'), *name = slash != NULL ? slash + 1 : relative;
    const char *dot = strrchr(name, '.');
    size_t begin = out->length, length = strlen(relative), folder = (size_t)(name - relative);
    /* ".tif" alone is a name without an extension */
    size_t stem = dot != NULL && dot > name ? (size_t)(dot - relative) : length;
    const struct {
        const char *key, *text;
        size_t length;
    } part[] = {
        {"{path}", relative, stem},
        {"{dir}", relative, folder},
        {"{name}", name, stem - folder},
        {"{extension}", relative + stem + (stem < length), length - stem - (stem < length)},
    };
    enum rc rc = RC_OK;
    for (const char *c = variant->settings.ingest_destination; *c != '\0' && rc == RC_OK;) {
        size_t i = 0, count = sizeof part / sizeof part[0];
        while (i < count && strncmp(c, part[i].key, strlen(part[i].key)) != 0)
            i++;
        rc = i < count ? bytes_append(out, part[i].text, part[i].length, err) : bytes_append(out, c, 1, err);
        c += i < count ? strlen(part[i].key) : 1;
    }
    return rc != RC_OK ? rc : check_name((const char *)out->data + begin, out->length - begin, err);
}

/* How a conversion is done ---------------------------------------------------------------------------- */

static uint8_t hex_pair(const char *digits)
{
    char pair[3] = {digits[0], digits[1], '\0'};
    return (uint8_t)strtoul(pair, NULL, 16);
}

enum rc ingest_mapping_options(const struct ingest_variant *variant, struct ingest_options *ret_options,
                               struct err *err)
{
    const struct settings *settings = &variant->settings;
    /* In the order of the settings' choices. */
    int compression = settings_choice_index("jpeg|webp|zstd|deflate|lzw", settings->ingest_compression);
    int chroma = settings_choice_index("4:2:0|4:4:4|rgb", settings->ingest_subsampling);
    if (compression < 0 || chroma < 0)
        return err_set(err, RC_BAD_REQUEST, "there is no such compression or subsampling");
    static const enum ingest_compression compressions[] = {INGEST_JPEG, INGEST_WEBP, INGEST_ZSTD,
                                                           INGEST_DEFLATE, INGEST_LZW};
    static const enum ingest_chroma chromas[] = {INGEST_420, INGEST_444, INGEST_RGB_444};
    struct ingest_options options;
    ingest_options_init(&options);
    options.limits = (struct image_source_limits){(uint64_t)settings->max_source_pixels,
                                                  (uint64_t)settings->max_decode_bytes};
    options.page = (uint32_t)settings->ingest_page;
    options.profile = strcmp(settings->ingest_profile, "keep") == 0 ? INGEST_KEEP_PROFILE : INGEST_TO_SRGB;
    options.alpha = strcmp(settings->ingest_alpha, "keep") == 0 ? INGEST_KEEP_ALPHA : INGEST_FLATTEN_ALPHA;
    for (int i = 0; i < 3; i++)
        options.background_rgb[i] = hex_pair(settings->ingest_background + 2 * i);
    options.depth_bits = strcmp(settings->ingest_depth, "keep") == 0 ? 16 : 8;
    options.tile_px = (uint32_t)settings->ingest_tile_px;
    options.compression = compressions[compression];
    options.quality = (uint8_t)settings->ingest_quality;
    options.chroma = chromas[chroma];
    options.restart_intervals = settings->ingest_restart_intervals;
    options.always_big_tiff = strcmp(settings->ingest_bigtiff, "always") == 0;
    *ret_options = options;
    return RC_OK;
}
