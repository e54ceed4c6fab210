/* EXIF 2.3: ImageDescription, Artist, Copyright, DateTimeOriginal. */
#include "worker/manifest/embedded.h"

#include <ctype.h>
#include <libexif/exif-data.h>
#include <limits.h>
#include <string.h>

static const ExifEntry *find_entry(const ExifData *data, ExifTag tag)
{
    for (int ifd = 0; ifd < EXIF_IFD_COUNT; ifd++) {
        const ExifEntry *entry = exif_content_get_entry(data->ifd[ifd], tag);
        if (entry != NULL && entry->format == EXIF_FORMAT_ASCII && entry->data != NULL)
            return entry;
    }
    return NULL;
}

static void add_entry(const ExifData *data, ExifTag tag, enum manifest_field field, struct arena *arena,
                      struct manifest_embedded *embedded)
{
    const ExifEntry *entry = find_entry(data, tag);
    if (entry != NULL)
        manifest_embedded_add(embedded, field, false, arena, (const char *)entry->data, entry->size);
}

/* "YYYY:MM:DD HH:MM:SS", zeros or blanks where it is not known. */
static void add_date(const ExifData *data, struct arena *arena, struct manifest_embedded *embedded)
{
    const ExifEntry *entry = find_entry(data, EXIF_TAG_DATE_TIME_ORIGINAL);
    char date[20] = "";
    if (entry == NULL || entry->size < sizeof date - 1)
        return;
    memcpy(date, entry->data, sizeof date - 1);
    for (size_t i = 0; i < sizeof date - 1; i++)
        if ("0000:00:00 00:00:00"[i] == '0' ? !isdigit((unsigned char)date[i])
                                            : date[i] != "0000:00:00 00:00:00"[i])
            return;
    if (memcmp(date, "0000", 4) == 0)
        return;
    date[4] = date[7] = '-';
    date[10] = 'T';
    manifest_embedded_add(embedded, MANIFEST_DATE, false, arena, date, sizeof date - 1);
}

void manifest_embedded_exif(const struct bytes *tiff, struct arena *arena, struct manifest_embedded *embedded)
{
    static const unsigned char introduction[] = {'E', 'x', 'i', 'f', 0, 0};
    struct bytes stream = {0};
    if (tiff->length > UINT_MAX - sizeof introduction ||
        bytes_append(&stream, introduction, sizeof introduction, NULL) != RC_OK ||
        bytes_append(&stream, tiff->data, tiff->length, NULL) != RC_OK) {
        bytes_done(&stream);
        return;
    }
    ExifData *data = exif_data_new_from_data(stream.data, (unsigned)stream.length);
    bytes_done(&stream);
    if (data == NULL)
        return;
    add_entry(data, EXIF_TAG_IMAGE_DESCRIPTION, MANIFEST_DESCRIPTION, arena, embedded);
    add_entry(data, EXIF_TAG_ARTIST, MANIFEST_CREATOR, arena, embedded);
    add_entry(data, EXIF_TAG_COPYRIGHT, MANIFEST_COPYRIGHT, arena, embedded);
    add_date(data, arena, embedded);
    exif_data_unref(data);
}
