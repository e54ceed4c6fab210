/* The gateway for the command line: what a list says, not what a server has loaded of it. */
#include "base/fdio.h"
#include "base/own.h"
#include "base/roots.h"
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
    char now[IIIF_MAX_IDENTIFIER_BYTES + 1];
    OWN_FREE char *map = NULL;
    uint64_t lines = 0;
    struct list_map *archive = NULL;
    OWN_FD int text_fd = open(options->retired, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (text_fd < 0)
        return err_set_errno(err, RC_IO, errno, "retired: %s", options->retired);
    enum rc rc = fdio_scratch_file("resolve", &map, err);
    if (rc != RC_OK)
        return rc;
    rc = gateway_archive_load(text_fd, options->retired, map, NULL, NULL, &lines, err);
    if (rc == RC_OK)
        rc = list_map_open(&gateway_archive_kind, map, &archive, err);
    unlink(map);
    if (rc != RC_OK)
        return rc;
    *ret = gateway_find_retired(archive, identifier, now);
    list_map_close(&archive);
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

/* A line for each root that the source can be in; false: no folder has it, and there is nowhere else to
 * look. */
static bool explain_roots(const char *images, const char *source)
{
    struct roots_root root;
    bool may_be_there = false;
    while (roots_next(&images, &root)) {
        const char *below = roots_below(&root, source);
        OWN_FREE char *path = NULL;
        if (below == NULL)
            continue;
        bool is_remote = roots_is_remote(root.place);
        if (asprintf(&path, "%s%s%s", root.place, root.place[strlen(root.place) - 1] == '/' ? "" : "/",
                     below) < 0) {
            path = NULL;
            return false;
        }
        bool is_there = !is_remote && access(path, R_OK) == 0;
        printf("source      %s%s%s\n", path, is_there ? "" : ": ",
               is_there    ? ""
               : is_remote ? "there, if it has that (not asked)"
                           : strerror(errno));
        if (is_there)
            return true;
        may_be_there = may_be_there || is_remote;
    }
    return may_be_there;
}

bool gateway_explain(const struct gateway_options *options, const char *images, const char *identifier,
                     struct err *err)
{
    enum gateway_retired retired = GATEWAY_RETIRED_NO;
    struct iiif_identifier source;
    printf("identifier  %s\n", identifier);
    if (options->retired[0] != '\0' && explain_retired(options, identifier, &retired, err) != RC_OK)
        return false;
    if (retired != GATEWAY_RETIRED_NO)
        return true;
    if (explain_rules(options, identifier, &source, err) != RC_OK)
        return false;
    bool may_be_there = explain_roots(images, source.path);
    printf("page        %" PRIu32 "\n", source.page);
    return may_be_there ||
           err_set(err, RC_NOT_FOUND, "there is no %.180s in any image root", source.path) == RC_OK;
}
