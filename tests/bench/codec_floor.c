/* codec_floor FOLDER LIST QUALITY SECONDS
 *
 * What the codec alone costs: for each request of LIST the whole tiles of the smallest sufficient level that the
 * region touches are decoded into planes, and an answer of the wanted size is encoded from planes, both with
 * libjpeg-turbo's raw interface. No file is read and nothing is resampled inside the measured time, which is CPU time
 * of this one thread. A line of LIST is "class<TAB>file x y w h out_w out_h factor"; factor is the scale factor of a
 * viewer's tile, 0 for anything else. Each class takes SECONDS of CPU time at most. Prints one JSON object.
 * For pyramids of 4:2:0 JPEG tiles in one TIFF, as the benchmark makes them.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>
#include <tiffio.h>

enum { MOST_SOURCES = 64, MOST_LEVELS = 24, MCU_PX = 16 };

struct level {
    uint32_t width_px, height_px, tile_px;
    tdir_t directory;
};

struct source {
    char name[256];
    TIFF *tiff;
    struct level levels[MOST_LEVELS];
    size_t level_count;
    struct jpeg_decompress_struct decoder;
    struct jpeg_error_mgr errors;
    const struct level *tables_of;
};

struct planes {
    uint8_t *plane[3];
    size_t stride[3], rows[3]; /* whole MCUs */
};

struct request {
    char class[32], file[256];
    double x, y, w, h;
    uint32_t out_w, out_h, factor;
};

struct tally {
    char class[32];
    uint64_t requests, tiles, bytes;
    double decode_s, encode_s, decoded_px, encoded_px;
};

static void die(const char *what, const char *which)
{
    fprintf(stderr, "codec_floor: %s: %s\n", what, which);
    exit(1);
}

static void *must(void *memory)
{
    if (memory == NULL)
        die("out of memory", "");
    return memory;
}

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Planes ------------------------------------------------------------------------------------------------------ */

static struct planes planes_new(uint32_t width_px, uint32_t height_px)
{
    struct planes planes;
    size_t width = (width_px + MCU_PX - 1) / MCU_PX * MCU_PX,
           height = (height_px + MCU_PX - 1) / MCU_PX * MCU_PX;
    for (int i = 0; i < 3; i++) {
        planes.stride[i] = i == 0 ? width : width / 2;
        planes.rows[i] = i == 0 ? height : height / 2;
        planes.plane[i] = must(calloc(planes.rows[i], planes.stride[i]));
    }
    return planes;
}

static void planes_done(struct planes *planes)
{
    for (int i = 0; i < 3; i++)
        free(planes->plane[i]);
}

/* The row pointers of one MCU row of each plane, from column x_px and row y_px of the first. */
static void planes_rows(const struct planes *planes, size_t x_px, size_t y_px, JSAMPROW rows[3][MCU_PX])
{
    for (size_t i = 0; i < 3; i++) {
        size_t shift = i == 0 ? 0 : 1;
        for (size_t row = 0; row < (size_t)MCU_PX >> shift; row++)
            rows[i][row] = planes->plane[i] + ((y_px >> shift) + row) * planes->stride[i] + (x_px >> shift);
    }
}

/* Sources ----------------------------------------------------------------------------------------------------- */

static struct source *source_open(const char *folder, const char *name)
{
    static struct source *sources[MOST_SOURCES];
    static size_t count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(sources[i]->name, name) == 0)
            return sources[i];
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct source *source = must(calloc(1, sizeof *source));
    snprintf(source->name, sizeof source->name, "%s", name);
    source->tiff = TIFFOpen(path, "r");
    if (source->tiff == NULL || count == MOST_SOURCES)
        die("cannot open", path);
    do {
        struct level *level = &source->levels[source->level_count++];
        uint16_t compression = 0;
        TIFFGetField(source->tiff, TIFFTAG_IMAGEWIDTH, &level->width_px);
        TIFFGetField(source->tiff, TIFFTAG_IMAGELENGTH, &level->height_px);
        TIFFGetField(source->tiff, TIFFTAG_COMPRESSION, &compression);
        if (!TIFFGetField(source->tiff, TIFFTAG_TILEWIDTH, &level->tile_px) ||
            compression != COMPRESSION_JPEG)
            die("not a pyramid of JPEG tiles", path);
        level->directory = TIFFCurrentDirectory(source->tiff);
    } while (source->level_count < MOST_LEVELS && TIFFReadDirectory(source->tiff));
    source->decoder.err = jpeg_std_error(&source->errors);
    jpeg_create_decompress(&source->decoder);
    sources[count++] = source;
    return source;
}

/* The smallest level that has the pixels asked for, give or take the rounding of sizes. */
static const struct level *source_level(const struct source *source, const struct request *request)
{
    const struct level *best = &source->levels[0];
    for (size_t i = 0; i < source->level_count; i++) {
        const struct level *level = &source->levels[i];
        double has_px = request->w * level->width_px / source->levels[0].width_px;
        bool is_enough = request->factor > 0 ? level->width_px == source->levels[0].width_px / request->factor
                                             : has_px > (double)request->out_w - 1;
        if (is_enough && level->width_px <= best->width_px)
            best = level;
    }
    return best;
}

static void source_select(struct source *source, const struct level *level)
{
    if (source->tables_of == level)
        return;
    uint32_t length = 0;
    void *tables = NULL;
    TIFFSetDirectory(source->tiff, level->directory);
    if (TIFFGetField(source->tiff, TIFFTAG_JPEGTABLES, &length, &tables)) {
        jpeg_mem_src(&source->decoder, tables, length);
        jpeg_read_header(&source->decoder, FALSE);
    }
    source->tables_of = level;
}

/* Decodes one tile to column x_px and row y_px of the planes. */
static void decode_tile(struct jpeg_decompress_struct *decoder, const uint8_t *bytes, size_t length,
                        const struct planes *planes, size_t x_px, size_t y_px)
{
    JSAMPROW rows[3][MCU_PX];
    JSAMPARRAY image[3] = {rows[0], rows[1], rows[2]};
    jpeg_mem_src(decoder, bytes, length);
    jpeg_read_header(decoder, TRUE);
    decoder->raw_data_out = TRUE;
    jpeg_start_decompress(decoder);
    if (decoder->num_components != 3 || decoder->max_v_samp_factor != 2 || decoder->max_h_samp_factor != 2)
        die("a tile is not 4:2:0", "");
    while (decoder->output_scanline < decoder->output_height) {
        planes_rows(planes, x_px, y_px + decoder->output_scanline, rows);
        jpeg_read_raw_data(decoder, image, MCU_PX);
    }
    jpeg_finish_decompress(decoder);
}

/* Every tile that the request's region touches, and where the region's corner lies in the result. */
static struct planes decode(struct source *source, const struct request *request, struct tally *tally,
                            double ret_corner[2], double *ret_scale)
{
    const struct level *level = source_level(source, request);
    source_select(source, level);
    double scale = (double)level->width_px / source->levels[0].width_px;
    uint32_t tile_px = level->tile_px;
    uint32_t left = (uint32_t)(request->x * scale) / tile_px, top = (uint32_t)(request->y * scale) / tile_px;
    uint32_t last_x = (uint32_t)((request->x + request->w) * scale - 0.01), last_y;
    last_y = (uint32_t)((request->y + request->h) * scale - 0.01);
    uint32_t right = (last_x < level->width_px ? last_x : level->width_px - 1) / tile_px;
    uint32_t bottom = (last_y < level->height_px ? last_y : level->height_px - 1) / tile_px;

    struct planes planes = planes_new((right - left + 1) * tile_px, (bottom - top + 1) * tile_px);
    for (uint32_t y = top; y <= bottom; y++) {
        for (uint32_t x = left; x <= right; x++) {
            uint32_t tile = TIFFComputeTile(source->tiff, x * tile_px, y * tile_px, 0, 0);
            size_t length = (size_t)TIFFGetStrileByteCount(source->tiff, tile);
            uint8_t *bytes = must(malloc(length));
            if (TIFFReadRawTile(source->tiff, tile, bytes, (tmsize_t)length) < 0)
                die("cannot read a tile of", source->name);
            double start = cpu_s();
            decode_tile(&source->decoder, bytes, length, &planes, (x - left) * tile_px, (y - top) * tile_px);
            tally->decode_s += cpu_s() - start;
            tally->decoded_px += (double)tile_px * tile_px;
            tally->tiles++;
            free(bytes);
        }
    }
    ret_corner[0] = request->x * scale - left * tile_px;
    ret_corner[1] = request->y * scale - top * tile_px;
    *ret_scale = request->w * scale / request->out_w;
    return planes;
}

/* Real pixels for the encoder: the nearest ones, outside the measured time. */
static struct planes pick(const struct planes *from, const struct request *request, const double corner[2],
                          double step)
{
    struct planes to = planes_new(request->out_w, request->out_h);
    for (int i = 0; i < 3; i++) {
        double shift = i == 0 ? 1 : 2;
        for (size_t y = 0; y < to.rows[i]; y++) {
            size_t from_y = (size_t)(corner[1] / shift + (double)y * step);
            from_y = from_y < from->rows[i] ? from_y : from->rows[i] - 1;
            for (size_t x = 0; x < to.stride[i]; x++) {
                size_t from_x = (size_t)(corner[0] / shift + (double)x * step);
                from_x = from_x < from->stride[i] ? from_x : from->stride[i] - 1;
                to.plane[i][y * to.stride[i] + x] = from->plane[i][from_y * from->stride[i] + from_x];
            }
        }
    }
    return to;
}

static void encode(const struct planes *planes, const struct request *request, int quality,
                   struct tally *tally)
{
    struct jpeg_compress_struct encoder;
    struct jpeg_error_mgr errors;
    uint8_t *bytes = NULL;
    unsigned long length = 0;
    JSAMPROW rows[3][MCU_PX];
    JSAMPARRAY image[3] = {rows[0], rows[1], rows[2]};

    double start = cpu_s();
    encoder.err = jpeg_std_error(&errors);
    jpeg_create_compress(&encoder);
    jpeg_mem_dest(&encoder, &bytes, &length);
    encoder.image_width = request->out_w;
    encoder.image_height = request->out_h;
    encoder.input_components = 3;
    encoder.in_color_space = JCS_YCbCr;
    jpeg_set_defaults(&encoder);
    jpeg_set_quality(&encoder, quality, TRUE);
    encoder.raw_data_in = TRUE;
    jpeg_start_compress(&encoder, TRUE);
    while (encoder.next_scanline < encoder.image_height) {
        planes_rows(planes, 0, encoder.next_scanline, rows);
        jpeg_write_raw_data(&encoder, image, MCU_PX);
    }
    jpeg_finish_compress(&encoder);
    jpeg_destroy_compress(&encoder);
    tally->encode_s += cpu_s() - start;
    tally->encoded_px += (double)request->out_w * request->out_h;
    tally->bytes += length;
    free(bytes);
}

/* The list ---------------------------------------------------------------------------------------------------- */

static struct tally *tally_of(struct tally *tallies, size_t *count, const char *class)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(tallies[i].class, class) == 0)
            return &tallies[i];
    if (*count == 16)
        die("too many classes", class);
    struct tally *tally = &tallies[(*count)++];
    snprintf(tally->class, sizeof tally->class, "%s", class);
    return tally;
}

static void print_tally(const struct tally *tally, bool is_first)
{
    double requests = (double)tally->requests;
    printf("%s\"%s\": {\"requests\": %llu, \"decode_ms\": %.4f, \"encode_ms\": %.4f, \"tiles\": %.2f, "
           "\"bytes\": %.0f, "
           "\"decode_mpx_s\": %.1f, \"encode_mpx_s\": %.1f}",
           is_first ? "" : ", ", tally->class, (unsigned long long)tally->requests,
           tally->decode_s / requests * 1e3, tally->encode_s / requests * 1e3,
           (double)tally->tiles / requests, (double)tally->bytes / requests,
           tally->decoded_px / tally->decode_s / 1e6, tally->encoded_px / tally->encode_s / 1e6);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s FOLDER LIST QUALITY SECONDS\n", argv[0]);
        return 2;
    }
    FILE *list = fopen(argv[2], "r");
    if (list == NULL)
        die("cannot open", argv[2]);
    int quality = atoi(argv[3]);
    double most_s = atof(argv[4]);
    struct tally tallies[16] = {0};
    size_t tally_count = 0;
    char text[1024];
    struct request request;
    while (fgets(text, sizeof text, list) != NULL) {
        if (sscanf(text, "%31s %255s %lf %lf %lf %lf %u %u %u", request.class, request.file, &request.x,
                   &request.y, &request.w, &request.h, &request.out_w, &request.out_h, &request.factor) != 9)
            die("this line of the list is not understood", text);
        struct tally *tally = tally_of(tallies, &tally_count, request.class);
        if (tally->decode_s + tally->encode_s > most_s)
            continue;
        double corner[2], step;
        struct source *source = source_open(argv[1], request.file);
        struct planes decoded = decode(source, &request, tally, corner, &step);
        struct planes picked = pick(&decoded, &request, corner, step);
        encode(&picked, &request, quality, tally);
        tally->requests++;
        planes_done(&decoded);
        planes_done(&picked);
    }
    printf("{");
    for (size_t i = 0; i < tally_count; i++)
        print_tally(&tallies[i], i == 0);
    printf("}\n");
    return 0;
}
