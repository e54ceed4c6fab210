#include "worker/manifest/catalogue_live.h"

#include "base/own.h"
#include "worker/manifest/catalogue_columns.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum rc manifest_catalogue_check(const struct manifest_catalogue_options *options, const char **ret_name,
                                 struct err *err)
{
    OWN(catalogue_columns_free) struct catalogue_columns *columns = NULL;
    struct err wrong;
    *ret_name = "catalogue_columns";
    if (catalogue_columns_read(options->columns, &columns, &wrong) != RC_OK)
        return err_set(err, RC_BAD_REQUEST, "catalogue_columns: %s", wrong.message);
    *ret_name = "catalogue";
    if (options->file[0] == '\0')
        return RC_OK;
    if (options->folder == NULL)
        return err_set(err, RC_BAD_REQUEST, "catalogue is \"%s\", which needs a cache directory for its map",
                       options->file);
    if (access(options->file, R_OK) != 0)
        return err_set_errno(err, RC_BAD_REQUEST, errno, "catalogue is \"%s\"", options->file);
    return RC_OK;
}

static void print_problem(uint64_t line, const char *sentence, void *context)
{
    const struct manifest_catalogue_options *options = context;
    fprintf(stderr, "%s:%" PRIu64 ": %s\n", options->file, line, sentence);
}

bool manifest_catalogue_check_lines(const struct manifest_catalogue_options *options)
{
    struct manifest_catalogue_options named = *options;
    uint64_t rows = 0;
    struct err err;
    if (options->file[0] == '\0')
        return true;
    OWN_FD int fd = open(options->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return true; /* said already */
    enum rc rc = manifest_catalogue_load(fd, options->columns, NULL, print_problem, &named, &rows, &err);
    if (rc != RC_OK && rc != RC_CORRUPT)
        fprintf(stderr, "%s: %s\n", options->file, err.message);
    return rc == RC_OK;
}

static enum rc load(const struct list_live_options *options, int text_fd, const char *map_path,
                    list_problem *problem, void *context, uint64_t *ret_count, struct err *err)
{
    return manifest_catalogue_load(text_fd, options->settings, map_path, problem, context, ret_count, err);
}

enum rc manifest_catalogue_live_open(const struct manifest_catalogue_options *options,
                                     struct list_live **ret_live, struct err *err)
{
    const struct list_live_options list = {.kind = &manifest_catalogue_kind,
                                           .setting = "catalogue",
                                           .file = options->file,
                                           .folder = options->folder,
                                           .name = "catalogue",
                                           .settings_hash = manifest_catalogue_columns_hash(options->columns),
                                           .entries = "rows of the catalogue",
                                           .former = "the catalogue from before stays",
                                           .load = load,
                                           .settings = options->columns};
    if (options->file[0] != '\0')
        return list_live_open(&list, ret_live, err);
    *ret_live = NULL;
    return RC_OK;
}
