#include "worker/gateway/gateway.h"

#include "base/own.h"
#include "cache/list_live.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct gateway {
    struct gateway_rules *rules;
    struct list_live *retired; /* NULL: no list */
};

/* ---- coming and going ---- */

static enum rc load_retired(const struct list_live_options *options, int text_fd, const char *map_path,
                            list_problem *problem, void *context, uint64_t *ret_count, struct err *err)
{
    return gateway_archive_load(text_fd, options->file, map_path, problem, context, ret_count, err);
}

static enum rc open_archive(struct gateway *gateway, const struct gateway_options *options, struct err *err)
{
    const struct list_live_options list = {.kind = &gateway_archive_kind,
                                           .setting = "retired",
                                           .file = options->retired,
                                           .folder = options->folder,
                                           .name = "retired",
                                           .entries = "lines of retired identifiers",
                                           .former = "the identifiers retired before stay",
                                           .load = load_retired};
    return list_live_open(&list, &gateway->retired, err);
}

enum rc gateway_check(const struct gateway_options *options, const char **ret_name, struct err *err)
{
    OWN(gateway_rules_free) struct gateway_rules *rules = NULL;
    struct err wrong;
    *ret_name = "identifier_rules";
    if (options->rules[0] != '\0' && gateway_rules_load(options->rules, NULL, NULL, &rules, &wrong) != RC_OK)
        return err_set(err, RC_BAD_REQUEST, "identifier_rules is \"%s\": %s", options->rules, wrong.message);
    *ret_name = "retired";
    if (options->retired[0] == '\0')
        return RC_OK;
    if (options->folder == NULL)
        return err_set(err, RC_BAD_REQUEST, "retired is \"%s\", which needs a cache directory for its map",
                       options->retired);
    if (access(options->retired, R_OK) != 0)
        return err_set_errno(err, RC_BAD_REQUEST, errno, "retired is \"%s\"", options->retired);
    return RC_OK;
}

enum rc gateway_open(const struct gateway_options *options, struct gateway **ret_gateway, struct err *err)
{
    OWN(gateway_close) struct gateway *gateway = calloc(1, sizeof *gateway);
    if (gateway == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the gateway");
    enum rc rc = RC_OK;
    struct err wrong;
    if (options->rules[0] != '\0')
        rc = gateway_rules_load(options->rules, NULL, NULL, &gateway->rules, &wrong);
    if (rc != RC_OK)
        return err_set(err, rc, "identifier_rules: %s", wrong.message);
    if (options->retired[0] != '\0')
        rc = open_archive(gateway, options, err);
    if (rc == RC_OK)
        *ret_gateway = TAKE_PTR(gateway);
    return rc;
}

enum rc gateway_start(struct gateway *gateway, struct err *err)
{
    return list_live_start(gateway->retired, err);
}

void gateway_close(struct gateway **gateway)
{
    struct gateway *closed = TAKE_PTR(*gateway);
    if (closed == NULL)
        return;
    list_live_close(&closed->retired);
    gateway_rules_free(&closed->rules);
    free(closed);
}

/* ---- the way of an identifier ---- */

enum gateway_retired gateway_find_retired(const struct list_map *archive, const char *identifier,
                                          char ret_identifier[IIIF_MAX_IDENTIFIER_BYTES + 1])
{
    char image[IIIF_MAX_IDENTIFIER_BYTES + 1];
    enum gateway_retired retired = gateway_archive_find(archive, identifier, ret_identifier);
    size_t length = iiif_identifier_image_bytes(identifier);
    const char *page = identifier + length;
    if (retired != GATEWAY_RETIRED_NO || *page == '\0' || length >= sizeof image)
        return retired;
    memcpy(image, identifier, length);
    image[length] = '\0';
    retired = gateway_archive_find(archive, image, ret_identifier);
    if (retired == GATEWAY_RETIRED_MOVED &&
        strlen(ret_identifier) + strlen(page) <= IIIF_MAX_IDENTIFIER_BYTES)
        strcat(ret_identifier, page);
    return retired;
}

enum gateway_retired gateway_retired(const struct gateway *gateway, const char *identifier,
                                     char ret_identifier[IIIF_MAX_IDENTIFIER_BYTES + 1])
{
    const struct list_map *archive = list_live_now(gateway->retired);
    return archive == NULL ? GATEWAY_RETIRED_NO : gateway_find_retired(archive, identifier, ret_identifier);
}

enum rc gateway_apply_rules(const struct gateway_rules *rules, const char *identifier,
                            struct gateway_match *ret_match, struct err *err)
{
    char image[IIIF_MAX_IDENTIFIER_BYTES + 1];
    size_t length = iiif_identifier_image_bytes(identifier);
    const char *page = identifier + length;
    if (length >= sizeof image)
        return err_set(err, RC_NOT_FOUND, "the identifier is longer than %u bytes",
                       IIIF_MAX_IDENTIFIER_BYTES);
    memcpy(image, identifier, length);
    image[length] = '\0';
    enum rc rc = gateway_rules_apply(rules, image, ret_match, err);
    if (rc == RC_OK && strlen(ret_match->source) + strlen(page) > IIIF_MAX_IDENTIFIER_BYTES)
        rc = err_set(err, RC_NOT_FOUND, "the identifier leads to a source whose name is too long");
    if (rc == RC_OK)
        strcat(ret_match->source, page);
    return rc;
}

enum rc gateway_source(const struct gateway *gateway, const char *identifier,
                       struct iiif_identifier *ret_source, struct err *err)
{
    if (gateway->rules == NULL)
        return iiif_identifier_read(identifier, ret_source, err);
    struct gateway_match match;
    enum rc rc = gateway_apply_rules(gateway->rules, identifier, &match, err);
    return rc == RC_OK ? iiif_identifier_read(match.source, ret_source, err) : rc;
}
