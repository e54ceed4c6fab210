#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/manifest/embedded.h"

static const char xmp[] =
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    "<rdf:Description rdf:about='' xmlns:dc='http://purl.org/dc/elements/1.1/' "
    "xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' xmlns:cc='http://creativecommons.org/ns#' "
    "photoshop:DateCreated='1642-03' cc:license='http://creativecommons.org/publicdomain/mark/1.0/'>"
    "<dc:title><rdf:Alt><rdf:li xml:lang='nl'>De Nachtwacht</rdf:li><rdf:li xml:lang='x-default'>The Night "
    "Watch</rdf:li></rdf:Alt></dc:title>"
    "<dc:creator><rdf:Seq><rdf:li>Rembrandt</rdf:li><rdf:li>Workshop</rdf:li></rdf:Seq></dc:creator>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>";

/* 2:05 title, 2:80 creator, 2:55 date, 2:116 copyright in Latin-1, 2:25 twice. */
static const uint8_t iptc[] = "\x1c\x02\x05\x00\x05"
                              "Title"
                              "\x1c\x02\x50\x00\x05"
                              "Maker"
                              "\x1c\x02\x37\x00\x08"
                              "16420000"
                              "\x1c\x02\x74\x00\x06"
                              "\xa9 2026"
                              "\x1c\x02\x19\x00\x04"
                              "guns"
                              "\x1c\x02\x19\x00\x03"
                              "dog";

/* Little-endian TIFF: ImageDescription, Artist; an EXIF IFD with DateTimeOriginal. */
static const uint8_t exif[] = {
    'I', 'I',  42,   0,    8,    0,   0,   0,   3,   0,   0x0e, 0x01, 2,   0,   6,   0,    0,    0,   50,
    0,   0,    0,    0x3b, 0x01, 2,   0,   4,   0,   0,   0,    'A',  'n', 'n', 0,   0x69, 0x87, 4,   0,
    1,   0,    0,    0,    56,   0,   0,   0,   0,   0,   0,    0,    'A', ' ', 'd', 'o',  'g',  0,   1,
    0,   0x03, 0x90, 2,    0,    20,  0,   0,   0,   74,  0,    0,    0,   0,   0,   0,    0,    '2', '0',
    '2', '6',  ':',  '0',  '2',  ':', '0', '3', ' ', '1', '0',  ':',  '1', '1', ':', '1',  '2',  0,
};

static struct bytes run_of(const void *data, size_t length)
{
    struct bytes bytes = {0};
    assert_int_equal(bytes_append(&bytes, data, length, NULL), RC_OK);
    return bytes;
}

static struct manifest_embedded read_of(struct image_metadata *metadata, struct arena *arena)
{
    struct manifest_embedded embedded;
    manifest_embedded_read(metadata, arena, &embedded);
    bytes_done(&metadata->xmp);
    bytes_done(&metadata->iptc);
    bytes_done(&metadata->exif);
    return embedded;
}

static void assert_said(const char *said, const char *expected)
{
    if (expected == NULL)
        assert_null(said);
    else
        assert_string_equal(said == NULL ? "(nothing)" : said, expected);
}

static void test_each_kind(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    struct image_metadata metadata = {.xmp = run_of(xmp, sizeof xmp - 1)};
    struct manifest_embedded said = read_of(&metadata, arena);
    assert_said(said.text[MANIFEST_TITLE], "The Night Watch");
    assert_said(said.text[MANIFEST_CREATOR], "Rembrandt; Workshop");
    assert_said(said.text[MANIFEST_DATE], "1642-03");
    assert_said(said.text[MANIFEST_LICENCE], "http://creativecommons.org/publicdomain/mark/1.0/");
    assert_said(said.text[MANIFEST_COPYRIGHT], NULL);

    metadata = (struct image_metadata){.iptc = run_of(iptc, sizeof iptc - 1)};
    said = read_of(&metadata, arena);
    assert_said(said.text[MANIFEST_TITLE], "Title");
    assert_said(said.text[MANIFEST_CREATOR], "Maker");
    assert_said(said.text[MANIFEST_DATE], "1642");
    assert_said(said.text[MANIFEST_COPYRIGHT], "\xc2\xa9 2026");
    assert_said(said.text[MANIFEST_KEYWORDS], "guns; dog");

    metadata = (struct image_metadata){.exif = run_of(exif, sizeof exif)};
    said = read_of(&metadata, arena);
    assert_said(said.text[MANIFEST_TITLE], NULL);
    assert_said(said.text[MANIFEST_DESCRIPTION], "A dog");
    assert_said(said.text[MANIFEST_CREATOR], "Ann");
    assert_said(said.text[MANIFEST_DATE], "2026-02-03T10:11:12");
    arena_free(arena);
}

static void test_who_counts_first(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    struct image_metadata metadata = {.xmp = run_of(xmp, sizeof xmp - 1),
                                      .iptc = run_of(iptc, sizeof iptc - 1),
                                      .exif = run_of(exif, sizeof exif)};
    struct manifest_embedded said = read_of(&metadata, arena);
    assert_said(said.text[MANIFEST_TITLE], "The Night Watch");
    assert_said(said.text[MANIFEST_COPYRIGHT], "\xc2\xa9 2026");
    assert_said(said.text[MANIFEST_DESCRIPTION], "A dog");
    arena_free(arena);
}

static void test_broken_bytes_say_nothing(void **state)
{
    (void)state;
    struct arena *arena = arena_new();
    for (size_t length = 1; length < sizeof exif; length += 3) {
        struct image_metadata metadata = {.xmp = run_of(xmp, length),
                                          .iptc = run_of(iptc, length < sizeof iptc ? length : 1),
                                          .exif = run_of(exif, length)};
        read_of(&metadata, arena); /* nothing is read behind the end: the sanitizers' business */
    }
    struct image_metadata metadata = {.xmp = run_of("<not xmp", 8)};
    struct manifest_embedded said = read_of(&metadata, arena);
    for (int field = 0; field < MANIFEST_FIELDS; field++)
        assert_null(said.text[field]);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind),
        cmocka_unit_test(test_who_counts_first),
        cmocka_unit_test(test_broken_bytes_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
