#include "worker/revalidate.h"

#include <stdlib.h>
#include <string.h>

#define COMPARE_MS 0.02 /* a look at one file */

struct comparison {
    struct render_job job; /* first: the pool hands back its address */
    struct pictures *pictures;
    uint32_t page;
    char path[];
};

static void run_job(struct render_job *job)
{
    struct comparison *comparison = (struct comparison *)job;
    pictures_compare(comparison->pictures, comparison->path, comparison->page);
    free(comparison);
}

void worker_revalidate(struct worker_service *service, const char *path, uint32_t page)
{
    struct err err;
    int64_t wait_ms;
    size_t path_bytes = strlen(path) + 1;
    struct comparison *comparison = calloc(1, sizeof *comparison + path_bytes);
    if (comparison == NULL)
        return;
    comparison->job = (struct render_job){.run = run_job, .cost_ms = COMPARE_MS};
    comparison->pictures = service->pictures;
    comparison->page = page;
    memcpy(comparison->path, path, path_bytes);
    if (render_pool_submit(service->pool, &comparison->job, &wait_ms, &err) != RC_OK)
        free(comparison);
}
