/* What all documents of a server are made from. request_presentation.c fills it in for each of them,
 * publish.c for a run of `vitrine manifest`. Read by build.c and what it calls. */
#ifndef WORKER_MANIFEST_SITE_H
#define WORKER_MANIFEST_SITE_H

#include "cache/pictures.h"
#include "worker/iiif/size.h"
#include "worker/manifest/catalogue.h"

struct manifest_site {
    struct origin *origin;
    struct pictures *pictures;
    const struct iiif_limits *limits;
    const struct list_map *catalogue;                  /* or NULL */
    void (*warn)(const char *sentence, void *context); /* of a sidecar; once for each document */
    bool (*cancelled)(void *context);                  /* between two pictures */
    void *context;
};

#endif
