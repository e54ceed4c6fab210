#include "worker/manifest/said.h"

#include "base/own.h"
#include "worker/manifest/survey.h"

#define MOST_SIDECAR_BYTES (1u << 20)

static enum rc read_sidecar(struct origin *origin, const char *path, struct manifest_described *ret_said,
                            struct err *err)
{
    struct origin_version version;
    OWN(image_blob_close) struct image_blob *blob = NULL;
    OWN(bytes_done) struct bytes text = {0};
    enum rc rc = origin_last_word(origin, path, err);
    if (rc == RC_OK)
        rc = origin_open_blob(origin, path, &blob, &version, err);
    if (rc == RC_OK && blob->size_bytes > MOST_SIDECAR_BYTES)
        return err_set(err, RC_BAD_REQUEST, "it is larger than %u bytes", MOST_SIDECAR_BYTES);
    if (rc == RC_OK)
        rc = bytes_reserve(&text, (size_t)blob->size_bytes + 1, err);
    if (rc == RC_OK)
        rc = image_blob_read(blob, text.data, (size_t)blob->size_bytes, 0, err);
    return rc == RC_OK ? manifest_described_sidecar(text.data, (size_t)blob->size_bytes, ret_said, err) : rc;
}

enum rc manifest_said_sidecar(const struct manifest_site *site, const char *path, bool is_folder,
                              struct arena *arena, struct manifest_described *said, const char **ret_away,
                              struct err *err)
{
    struct manifest_described further = {NULL};
    const char *sidecar = manifest_survey_sidecar(arena, path, is_folder);
    if (sidecar == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the document");
    enum rc rc = read_sidecar(site->origin, sidecar, &further, err);
    if (rc == RC_OK)
        manifest_described_add(said, &further);
    if (rc == RC_AWAY)
        *ret_away = sidecar;
    if (rc == RC_BAD_REQUEST || rc == RC_IO || rc == RC_CORRUPT) {
        const char *sentence = arena_format(arena, "%s: %s", sidecar, err->message);
        site->warn(sentence == NULL ? err->message : sentence, site->context);
    }
    return rc == RC_AWAY || rc == RC_NO_MEMORY ? rc : RC_OK;
}

/* It was read once when the catalogue was made, so it is right. */
enum rc manifest_said_row(const struct manifest_site *site, const char *path, struct manifest_described *said,
                          struct err *err)
{
    OWN(bytes_done) struct bytes row = {0};
    struct manifest_described further = {NULL};
    if (!manifest_catalogue_find(site->catalogue, path, &row))
        return RC_OK;
    enum rc rc = manifest_described_sidecar(row.data, row.length, &further, err);
    if (rc == RC_OK)
        manifest_described_add(said, &further);
    return rc == RC_NO_MEMORY ? rc : RC_OK;
}

enum rc manifest_said_embedded(const struct picture *picture, struct arena *arena,
                               struct manifest_described *said, struct err *err)
{
    struct manifest_embedded embedded;
    struct manifest_described further = {NULL};
    const struct image_metadata *metadata = NULL;
    enum rc rc = image_source_metadata(picture->source, &metadata, err);
    if (rc != RC_OK)
        return rc == RC_AWAY || rc == RC_NO_MEMORY ? rc : RC_OK;
    manifest_embedded_read(metadata, arena, &embedded);
    rc = manifest_described_embedded(&embedded, &further, err);
    if (rc == RC_OK)
        manifest_described_add(said, &further);
    return rc;
}

enum rc manifest_said_name(const char *path, bool is_folder, struct manifest_described *said, struct err *err)
{
    struct manifest_described further = {NULL};
    enum rc rc = manifest_described_name(path, is_folder, &further, err);
    if (rc == RC_OK)
        manifest_described_add(said, &further);
    return rc;
}
