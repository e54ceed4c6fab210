#include "worker/manifest/document.h"

#include <stdio.h>

char *manifest_document_url(const char *base_url, int version, const char *identifier, bool is_collection)
{
    char *url = NULL;
    int length = asprintf(&url, "%s/presentation/%d/%s%s%s", base_url, version, identifier,
                          identifier[0] == '\0' ? "" : "/", is_collection ? "collection" : "manifest");
    return length < 0 ? NULL : url;
}

static int append(const char *text, size_t length, void *out)
{
    return bytes_append(out, text, length, NULL) == RC_OK ? 0 : -1;
}

enum rc manifest_document_write(const struct manifest_document *document, int version, struct bytes *out,
                                struct err *err)
{
    json_t *json = version == 2 ? manifest_document_2(document) : manifest_document_3(document);
    int fault = json == NULL ? -1 : json_dump_callback(json, append, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(json);
    return fault == 0 ? RC_OK : err_set(err, RC_NO_MEMORY, "no memory for the document");
}
