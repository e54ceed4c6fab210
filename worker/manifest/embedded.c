#include "worker/manifest/embedded.h"

#include "worker/manifest/text.h"

#include <string.h>

void manifest_embedded_add(struct manifest_embedded *embedded, enum manifest_field field, bool joins,
                           struct arena *arena, const char *text, size_t length)
{
    const char *clean = manifest_text_clean(arena, text, length, MANIFEST_EMBEDDED_MAX_BYTES);
    const char **slot = &embedded->text[field];
    if (clean == NULL || clean[0] == '\0')
        return;
    if (*slot == NULL)
        *slot = clean;
    else if (joins && strlen(*slot) + strlen(clean) + 2 <= MANIFEST_EMBEDDED_MAX_BYTES)
        *slot = arena_format(arena, "%s; %s", *slot, clean);
}

void manifest_embedded_read(const struct image_metadata *metadata, struct arena *arena,
                            struct manifest_embedded *ret_embedded)
{
    struct manifest_embedded said[3] = {0};
    if (metadata->xmp.length > 0)
        manifest_embedded_xmp(&metadata->xmp, arena, &said[0]);
    if (metadata->iptc.length > 0)
        manifest_embedded_iptc(&metadata->iptc, arena, &said[1]);
    if (metadata->exif.length > 0)
        manifest_embedded_exif(&metadata->exif, arena, &said[2]);
    *ret_embedded = said[0];
    for (int field = 0; field < MANIFEST_FIELDS; field++)
        for (int i = 1; i < 3 && ret_embedded->text[field] == NULL; i++)
            ret_embedded->text[field] = said[i].text[field];
}
