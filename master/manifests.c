#include "master/manifests.h"

#include "base/own.h"
#include "base/roots.h"
#include "master/thumbnails.h"
#include "worker/publish.h"

#include <stdio.h>

enum rc master_manifests_check(const struct settings *settings, const char *into, struct err *err)
{
    OWN_FREE char *below = NULL;
    if (settings->base_url[0] == '\0')
        return err_set(err, RC_BAD_REQUEST,
                       "manifests: base_url has to say how the server is reached, a file cannot know");
    if (roots_is_remote(into) && settings->ingest_manifests[0] == '\0')
        return err_set(err, RC_BAD_REQUEST,
                       "manifests: they cannot be put into a bucket; name a folder with --manifests-into");
    return master_thumbnails_find(settings, "manifests", into, &below, err);
}

enum rc master_manifests_make(const struct settings *settings, const char *path, struct err *err)
{
    OWN_FREE char *below = NULL;
    OWN_FREE char *file = NULL;
    enum rc rc = master_thumbnails_find(settings, "manifests", path, &below, err);
    if (rc != RC_OK)
        return rc;
    if (settings->ingest_manifests[0] == '\0') {
        if (asprintf(&file, "%s.manifest.json", path) < 0) {
            file = NULL;
            return err_set(err, RC_NO_MEMORY, "no memory for a name");
        }
        return worker_publish_one(settings, below, file, err);
    }
    const struct worker_publication publication = {
        .settings = settings, .into = settings->ingest_manifests, .version = {[2] = true, [3] = true}};
    const char *const paths[] = {below, NULL};
    struct worker_published published;
    rc = worker_publish(&publication, paths, &published, err);
    if (rc == RC_OK && published.failures > 0)
        rc = err_set(err, RC_IO, "what is wrong stands above");
    return rc;
}
