#include "worker/gateway/gateway.h"

#include "base/log.h"
#include "base/own.h"
#include "worker/gateway/archive_map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define LOGGED_PROBLEMS 20u

struct gateway {
    struct gateway_rules *rules;
    const char *retired; /* the text file's name */
    int text_fd;
    char *map_path, *lock_path;
    /* The map in use. Set at most once more after the start; what it replaces stays open until the end, since somebody may be
     * reading it. */
    _Atomic(struct gateway_archive *) archive;
    struct gateway_archive *former;
    pthread_t loader;
    bool has_loader;
};

/* ---- the map ---- */

static bool is_current(const struct gateway_archive *archive, int text_fd)
{
    struct stat text;
    return archive != NULL && fstat(text_fd, &text) == 0 && gateway_archive_is_of(archive, &text);
}

struct problems {
    const char *name;
    uint32_t count;
};

static void log_problem(uint64_t line, const char *sentence, void *context)
{
    struct problems *problems = context;
    if (problems->count++ < LOGGED_PROBLEMS)
        log_error("%s:%" PRIu64 ": %s", problems->name, line, sentence);
}

/* Loads, unless the lock file says that somebody has found this very text wrong. Under the lock. */
static void load(struct gateway *gateway, int lock_fd)
{
    struct stat text;
    struct archive_meta refused = {0}, wanted;
    if (fstat(gateway->text_fd, &text) != 0)
        return;
    wanted = archive_meta_of(&text);
    if (pread(lock_fd, &refused, sizeof refused, 0) == (ssize_t)sizeof refused &&
        memcmp(&refused, &wanted, sizeof wanted) == 0)
        return;
    struct problems problems = {.name = gateway->retired};
    uint64_t lines = 0;
    struct err err;
    enum rc rc = gateway_archive_load(gateway->text_fd, gateway->retired, gateway->map_path, log_problem,
                                      &problems, &lines, &err);
    if (rc == RC_OK)
        log_info("%s: %" PRIu64 " lines of retired identifiers are loaded", gateway->retired, lines);
    else if (rc != RC_CORRUPT)
        log_error("%s; the identifiers retired before stay", err.message);
    else if (pwrite(lock_fd, &wanted, sizeof wanted, 0) == (ssize_t)sizeof wanted)
        log_error("%s: %" PRIu32 " lines are wrong, none was taken over", gateway->retired, problems.count);
}

static void *load_in_turn(void *context)
{
    struct gateway *gateway = context;
    struct gateway_archive *fresh = NULL;
    struct err err;
    OWN_FD int lock_fd = open(gateway->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock_fd < 0 || flock(lock_fd, LOCK_EX) != 0) {
        log_error("retired: %s: %s", gateway->lock_path, strerror(errno));
        return NULL;
    }
    bool is_there = gateway_archive_open(gateway->map_path, &fresh, &err) == RC_OK;
    if (!is_there || !is_current(fresh, gateway->text_fd)) {
        gateway_archive_close(&fresh);
        load(gateway, lock_fd);
        is_there = gateway_archive_open(gateway->map_path, &fresh, &err) == RC_OK;
    }
    if (is_there)
        gateway->former = atomic_exchange(&gateway->archive, fresh);
    return NULL;
}

/* ---- coming and going ---- */

static enum rc open_archive(struct gateway *gateway, const struct gateway_options *options, struct err *err)
{
    struct gateway_archive *archive = NULL;
    struct err ignored;
    gateway->retired = options->retired;
    gateway->text_fd = open(options->retired, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (gateway->text_fd < 0)
        return err_set_errno(err, RC_IO, errno, "retired: %s", options->retired);
    if (asprintf(&gateway->map_path, "%s/retired.mdb", options->folder) < 0 ||
        asprintf(&gateway->lock_path, "%s/retired.lock", options->folder) < 0)
        return err_set(err, RC_NO_MEMORY, "no memory for the gateway");
    if (gateway_archive_open(gateway->map_path, &archive, &ignored) == RC_OK)
        atomic_store(&gateway->archive, archive);
    return RC_OK;
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
    gateway->text_fd = -1;
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
    if (gateway->text_fd < 0 || is_current(atomic_load(&gateway->archive), gateway->text_fd))
        return RC_OK;
    int fault = pthread_create(&gateway->loader, NULL, load_in_turn, gateway);
    if (fault != 0)
        return err_set_errno(err, RC_NO_MEMORY, fault, "no thread to load the retired identifiers");
    gateway->has_loader = true;
    return RC_OK;
}

void gateway_close(struct gateway **gateway)
{
    struct gateway *closed = TAKE_PTR(*gateway);
    if (closed == NULL)
        return;
    if (closed->has_loader)
        pthread_join(closed->loader, NULL);
    struct gateway_archive *archive = atomic_load(&closed->archive);
    gateway_archive_close(&archive);
    gateway_archive_close(&closed->former);
    gateway_rules_free(&closed->rules);
    own_close(&closed->text_fd);
    free(closed->map_path);
    free(closed->lock_path);
    free(closed);
}

/* ---- the way of an identifier ---- */

enum gateway_retired gateway_find_retired(const struct gateway_archive *archive, const char *identifier,
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
    const struct gateway_archive *archive = atomic_load_explicit(&gateway->archive, memory_order_acquire);
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
