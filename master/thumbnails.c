#include "master/thumbnails.h"

#include "base/own.h"
#include "base/roots.h"
#include "master/warm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Folders without links on the way, buckets as they are written. */
static char *plain_place(const char *path)
{
    return strncmp(path, "s3://", 5) == 0 ? strdup(path)
           : roots_is_remote(path)        ? NULL
                                          : realpath(path, NULL);
}

/* What the server calls `real`, if it lies below this image root; else NULL in *ret_below. */
static enum rc find_below(const struct roots_root *root, const char *real, char **ret_below, struct err *err)
{
    OWN_FREE char *place = plain_place(root->place);
    size_t length = place == NULL ? 0 : strlen(place);
    *ret_below = NULL;
    while (length > 0 && place[length - 1] == '/') /* also for "/" alone, which all paths begin with */
        length--;
    if (place == NULL || strncmp(real, place, length) != 0 || (real[length] != '/' && real[length] != '\0'))
        return RC_OK;
    bool is_named = root->name[0] != '\0';
    if (asprintf(ret_below, "%s%s%s", root->name, is_named ? "/" : "",
                 real[length] == '/' ? real + length + 1 : "") < 0) {
        *ret_below = NULL;
        return err_set(err, RC_NO_MEMORY, "no memory for a name");
    }
    return RC_OK;
}

enum rc master_thumbnails_find(const struct settings *settings, const char *what, const char *path,
                               char **ret_below, struct err *err)
{
    OWN_FREE char *real = plain_place(path);
    const char *rest = settings->images;
    struct roots_root root;
    char images[256];
    *ret_below = NULL;
    if (real == NULL)
        return err_set_errno(err, RC_IO, errno, "%s: %s cannot be found", what, path);
    while (roots_next(&rest, &root)) {
        enum rc rc = find_below(&root, real, ret_below, err);
        if (rc != RC_OK || *ret_below != NULL)
            return rc;
    }
    roots_text(settings->images, images, sizeof images);
    return err_set(err, RC_BAD_REQUEST, "%s: %s does not lie below an image root of the server (%s)", what,
                   path, images);
}

enum rc master_thumbnails_check(const struct settings *settings, const char *into, struct err *err)
{
    OWN_FREE char *below = NULL;
    if (settings->admin_token[0] == '\0')
        return err_set(err, RC_BAD_REQUEST,
                       "thumbnails: a server makes them only for who has its admin_token");
    return master_thumbnails_find(settings, "thumbnails", into, &below, err);
}

static enum rc make_one(void *context, const char *target, struct err *err)
{
    const struct settings *settings = *(const struct settings *const *)context;
    OWN(bytes_done) struct bytes body = {0};
    unsigned status = 0;
    enum rc rc = master_warm_one(settings, target, &status, &body, err);
    if (rc != RC_OK || status == 200)
        return rc;
    if (status == 401 || status == 403)
        return err_set(err, RC_FORBIDDEN, "the server at %s refuses the admin_token", settings->admin);
    return err_set(err, status == 404 ? RC_NOT_FOUND : RC_UNSUPPORTED, "the server at %s answers %u",
                   settings->admin, status);
}

enum rc master_thumbnails_make(const struct settings *settings, const char *path, const char *sizes,
                               struct err *err)
{
    OWN_FREE char *below = NULL;
    enum rc rc = master_thumbnails_find(settings, "thumbnails", path, &below, err);
    return rc == RC_OK ? master_warm_sizes(below, sizes, make_one, &settings, err) : rc;
}
