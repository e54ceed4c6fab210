/* IPTC-IIM 4.2, record 2. */
#include "worker/manifest/embedded.h"

#include <ctype.h>
#include <libiptcdata/iptc-data.h>
#include <limits.h>
#include <stdio.h>

/* CCYYMMDD; a month or day that is not known is 00. */
static void add_date(const unsigned char *text, size_t length, struct arena *arena,
                     struct manifest_embedded *embedded)
{
    char date[11];
    if (length != 8)
        return;
    for (size_t i = 0; i < 8; i++)
        if (!isdigit(text[i]))
            return;
    int written = snprintf(date, sizeof date, "%.4s-%.2s-%.2s", (const char *)text, (const char *)text + 4,
                           (const char *)text + 6);
    while (written > 4 && date[written - 1] == '0' && date[written - 2] == '0')
        written -= 3;
    manifest_embedded_add(embedded, MANIFEST_DATE, false, arena, date, (size_t)written);
}

static void add_dataset(const IptcDataSet *dataset, struct arena *arena, struct manifest_embedded *embedded)
{
    static const struct {
        IptcTag tag;
        enum manifest_field field;
        bool joins;
    } known[] = {
        {IPTC_TAG_OBJECT_NAME, MANIFEST_TITLE, false}, {IPTC_TAG_CAPTION, MANIFEST_DESCRIPTION, false},
        {IPTC_TAG_BYLINE, MANIFEST_CREATOR, true},     {IPTC_TAG_KEYWORDS, MANIFEST_KEYWORDS, true},
        {IPTC_TAG_CREDIT, MANIFEST_CREDIT, false},     {IPTC_TAG_COPYRIGHT_NOTICE, MANIFEST_COPYRIGHT, false},
    };
    if (dataset->record != IPTC_RECORD_APP_2 || dataset->data == NULL)
        return;
    if (dataset->tag == IPTC_TAG_DATE_CREATED)
        add_date(dataset->data, dataset->size, arena, embedded);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (dataset->tag == known[i].tag)
            manifest_embedded_add(embedded, known[i].field, known[i].joins, arena,
                                  (const char *)dataset->data, dataset->size);
}

void manifest_embedded_iptc(const struct bytes *records, struct arena *arena,
                            struct manifest_embedded *embedded)
{
    IptcData *data = records->length <= UINT_MAX
                         ? iptc_data_new_from_data(records->data, (unsigned)records->length)
                         : NULL;
    if (data == NULL)
        return;
    for (unsigned i = 0; i < data->count; i++)
        add_dataset(data->datasets[i], arena, embedded);
    iptc_data_unref(data);
}
