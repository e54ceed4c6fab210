/* The gateway for the command line: what a list says, not what a server has loaded of it. */
#include "base/own.h"
#include "worker/gateway/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_problem(uint64_t line, const char *sentence, void *context)
{
    fprintf(stderr, "%s:%" PRIu64 ": %s\n", (const char *)context, line, sentence);
}

bool gateway_check_lists(const struct gateway_options *options)
{
    struct err err = {.rc = RC_OK};
    OWN(gateway_rules_free) struct gateway_rules *rules = NULL;
    OWN_FREE char *name = strdup(options->rules);
    OWN_FREE char *retired = strdup(options->retired);
    uint64_t lines = 0;
    bool is_right = name != NULL && retired != NULL;
    if (is_right && name[0] != '\0')
        is_right = gateway_rules_load(name, print_problem, name, &rules, &err) == RC_OK;
    if (retired == NULL || retired[0] == '\0')
        return is_right;
    OWN_FD int fd = open(retired, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd >= 0 &&
           gateway_archive_load(fd, retired, NULL, print_problem, retired, &lines, &err) == RC_OK && is_right;
}

/* What the list says now, whatever map the server has. */
static enum rc explain_retired(const struct gateway_options *options, const char *identifier,
                               enum gateway_retired *ret, struct err *err)
{
    char folder[] = "/tmp/vitrine-resolve-XXXXXX", map[64], now[IIIF_MAX_IDENTIFIER_BYTES + 1];
    uint64_t lines = 0;
    struct gateway_archive *archive = NULL;
    OWN_FD int text_fd = open(options->retired, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (text_fd < 0 || mkdtemp(folder) == NULL)
        return err_set_errno(err, RC_IO, errno, "retired: %s", text_fd < 0 ? options->retired : folder);
    snprintf(map, sizeof map, "%s/retired.mdb", folder);
    enum rc rc = gateway_archive_load(text_fd, options->retired, map, NULL, NULL, &lines, err);
    if (rc == RC_OK)
        rc = gateway_archive_open(map, &archive, err);
    unlink(map);
    rmdir(folder);
    if (rc != RC_OK)
        return rc;
    *ret = gateway_find_retired(archive, identifier, now);
    gateway_archive_close(&archive);
    printf("retired     %s: %s%s\n", options->retired,
           *ret == GATEWAY_RETIRED_NO     ? "not listed"
           : *ret == GATEWAY_RETIRED_GONE ? "gone (410)"
                                          : "moved (301) to ",
           *ret == GATEWAY_RETIRED_MOVED ? now : "");
    return RC_OK;
}

static enum rc explain_rules(const struct gateway_options *options, const char *identifier,
                             struct iiif_identifier *ret_source, struct err *err)
{
    OWN(gateway_rules_free) struct gateway_rules *rules = NULL;
    struct gateway_match match;
    enum rc rc = RC_OK;
    if (options->rules[0] != '\0')
        rc = gateway_rules_load(options->rules, NULL, NULL, &rules, err);
    if (rc == RC_OK)
        rc = gateway_apply_rules(rules, identifier, &match, err);
    if (rc != RC_OK)
        return rc;
    if (match.line != 0)
        printf("rule        %s:%" PRIu64 ": %s\n", options->rules, match.line, match.rule);
    else
        printf("rule        none%s%s: the identifier is the source\n", rules != NULL ? " matches in " : "",
               options->rules);
    return iiif_identifier_read(match.source, ret_source, err);
}

static bool is_folder(const char *images)
{
    return strstr(images, "://") == NULL;
}

bool gateway_explain(const struct gateway_options *options, const char *images, const char *identifier,
                     struct err *err)
{
    enum gateway_retired retired = GATEWAY_RETIRED_NO;
    struct iiif_identifier source;
    OWN_FREE char *path = NULL;
    printf("identifier  %s\n", identifier);
    if (options->retired[0] != '\0' && explain_retired(options, identifier, &retired, err) != RC_OK)
        return false;
    if (retired != GATEWAY_RETIRED_NO)
        return true;
    if (explain_rules(options, identifier, &source, err) != RC_OK)
        return false;
    if (asprintf(&path, "%s/%s", images, source.path) < 0)
        return err_set(err, RC_NO_MEMORY, "no memory for a path") == RC_OK;
    printf("source      %s\npage        %" PRIu32 "\n", path, source.page);
    if (is_folder(images) && access(path, R_OK) != 0)
        return err_set_errno(err, RC_NOT_FOUND, errno, "%s", path) == RC_OK;
    return true;
}
