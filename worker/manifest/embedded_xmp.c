/* XMP: Dublin Core, Photoshop, rights. */
#include "worker/manifest/embedded.h"

#include <exempi/xmp.h>
#include <pthread.h>
#include <string.h>

#define MAX_PACKET_BYTES (4u << 20) /* real ones have kilobytes; the library makes a tree of all of it */
#define MAX_ITEMS        100

static const char dublin_core[] = "http://purl.org/dc/elements/1.1/";
static const char photoshop[] = "http://ns.adobe.com/photoshop/1.0/";
static const char xmp_basic[] = "http://ns.adobe.com/xap/1.0/";
static const char xmp_rights[] = "http://ns.adobe.com/xap/1.0/rights/";
static const char creative_commons[] = "http://creativecommons.org/ns#";

enum shape { SIMPLE, LANGUAGES, LIST };

static const struct property {
    const char *schema, *name;
    enum shape shape;
    enum manifest_field field;
} properties[] = {
    {dublin_core, "title", LANGUAGES, MANIFEST_TITLE},
    {dublin_core, "description", LANGUAGES, MANIFEST_DESCRIPTION},
    {dublin_core, "creator", LIST, MANIFEST_CREATOR},
    {dublin_core, "subject", LIST, MANIFEST_KEYWORDS},
    {dublin_core, "rights", LANGUAGES, MANIFEST_COPYRIGHT},
    {photoshop, "DateCreated", SIMPLE, MANIFEST_DATE},
    {xmp_basic, "CreateDate", SIMPLE, MANIFEST_DATE},
    {photoshop, "Credit", SIMPLE, MANIFEST_CREDIT},
    {creative_commons, "license", SIMPLE, MANIFEST_LICENCE},
    {xmp_rights, "WebStatement", SIMPLE, MANIFEST_LICENCE},
};

static void begin_library(void)
{
    xmp_init();
}

static bool get(XmpPtr xmp, const struct property *property, int item, XmpStringPtr value)
{
    if (property->shape == LANGUAGES)
        return xmp_get_localized_text(xmp, property->schema, property->name, "", "x-default", NULL, value,
                                      NULL);
    if (property->shape == LIST)
        return xmp_get_array_item(xmp, property->schema, property->name, item, value, NULL);
    return xmp_get_property(xmp, property->schema, property->name, value, NULL);
}

void manifest_embedded_xmp(const struct bytes *packet, struct arena *arena,
                           struct manifest_embedded *embedded)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin_library);
    XmpPtr xmp = packet->length <= MAX_PACKET_BYTES ? xmp_new((const char *)packet->data, packet->length)
                                                    : NULL;
    XmpStringPtr value = xmp_string_new();
    for (size_t i = 0; xmp != NULL && value != NULL && i < sizeof properties / sizeof properties[0]; i++) {
        const struct property *property = &properties[i];
        int items = property->shape == LIST ? MAX_ITEMS : 1;
        for (int item = 1; item <= items && get(xmp, property, item, value); item++) {
            const char *text = xmp_string_cstr(value);
            manifest_embedded_add(embedded, property->field, property->shape == LIST, arena, text,
                                  strlen(text));
        }
    }
    xmp_string_free(value);
    xmp_free(xmp);
}
